BEGIN TRANSACTION;
CREATE TABLE aliases (
    alias TEXT NOT NULL,
    event BLOB NOT NULL,
    evidence TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    PRIMARY KEY (alias, event)
) WITHOUT ROWID;
CREATE TABLE contexts (
    id INTEGER PRIMARY KEY,
    currency TEXT,
    kind TEXT,
    source TEXT,
    provider TEXT,
    host TEXT,
    provider_organization TEXT,
    provider_project TEXT,
    credential TEXT,
    gateway TEXT,
    model TEXT,
    request_model TEXT,
    operation TEXT,
    api TEXT,
    service_tier TEXT,
    region TEXT,
    speed TEXT,
    workflow TEXT,
    step TEXT,
    agent TEXT,
    status TEXT,
    chargeable TEXT,
    error_type TEXT,
    complete TEXT,
    estimated TEXT,
    flags TEXT,
    charge_status TEXT,
    reason TEXT,
    confidence TEXT,
    rate_card TEXT,
    evidence TEXT,
    tenant_id TEXT,
    customer_id TEXT,
    feature_id TEXT,
    product TEXT,
    team TEXT,
    business_unit TEXT,
    cost_center TEXT,
    plan_tier TEXT,
    phase TEXT,
    project_id TEXT,
    forecast_category TEXT,
    service TEXT,
    environment TEXT,
    cloud_provider TEXT,
    cloud_account TEXT,
    cloud_region TEXT,
    k8s_cluster TEXT,
    k8s_namespace TEXT,
    k8s_workload TEXT,
    host_type TEXT
);
INSERT INTO "contexts" VALUES(4347218401172412159,'USD','usage','aicost','p',NULL,NULL,NULL,NULL,NULL,'m',NULL,'chat',NULL,NULL,NULL,NULL,'w',NULL,NULL,'success','yes',NULL,'yes','no',NULL,'priced',NULL,'exact','t@1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "contexts" VALUES(6440029369330803837,'USD','usage','aicost','p',NULL,NULL,NULL,NULL,NULL,'m',NULL,'chat',NULL,NULL,NULL,NULL,'w',NULL,NULL,'success','yes',NULL,'no','no',NULL,'priced',NULL,'exact','t@1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "contexts" VALUES(6916834699965542902,'USD','usage','aicost','p',NULL,NULL,NULL,NULL,NULL,'m',NULL,'chat',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'success','yes',NULL,'yes','no',NULL,'priced',NULL,'exact','t@1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE entries (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,           -- 16 bytes
    n INTEGER NOT NULL,                -- 1, or -1 of a reversal
    corrects BLOB,                     -- of a reversal or replacement: what it corrects
    event BLOB,                        -- the first entry of the same event, where that is another
    book INTEGER NOT NULL,             -- 0 metered, 1 invoiced, 2 allocated
    charge_start INTEGER NOT NULL,     -- nanoseconds since the epoch
    charge_ns INTEGER NOT NULL,
    posted_period TEXT,                -- YYYY-MM, where it is not the month of charge_start
    context INTEGER NOT NULL,
    subject INTEGER,
    layout INTEGER,
    q0 INTEGER,
    q1 INTEGER,
    q2 INTEGER,
    q3 INTEGER,
    q4 INTEGER,
    q5 INTEGER,
    q6 INTEGER,
    q7 INTEGER,
    list_units INTEGER,
    list_nano INTEGER,
    list_atto INTEGER,
    contracted_units INTEGER,
    contracted_nano INTEGER,
    contracted_atto INTEGER,
    amount_units INTEGER,
    amount_nano INTEGER,
    amount_atto INTEGER,
    invoiced_units INTEGER,
    invoiced_nano INTEGER,
    invoiced_atto INTEGER,
    at_most_units INTEGER,
    at_most_nano INTEGER,
    at_most_atto INTEGER,
    attempt INTEGER NOT NULL,
    retry_count INTEGER,
    backoff_ns INTEGER,
    retry_of,
    fallback_of,
    run_id,
    root_run_id,                       -- empty: the same as run_id
    step_id,
    trace_id,                          -- empty: the same as run_id
    span_id,
    request_id TEXT,
    response_id TEXT,
    resource_id TEXT,
    invoice_id TEXT,
    quantities TEXT,                   -- a JSON array, where the columns cannot hold them
    details TEXT,                      -- a JSON object: what few entries say
    writer INTEGER,
    writer_seq INTEGER
);
INSERT INTO "entries" VALUES(1,X'9DE52E2AFE41AE8C4B1354908FBCAD35',1,NULL,NULL,0,1,1,NULL,6440029369330803837,NULL,2509743061342583251,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,5,NULL,NULL,NULL,NULL,NULL,NULL,1,NULL,NULL,NULL,NULL,'run-1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[10]',NULL,1,2);
INSERT INTO "entries" VALUES(2,X'9DE52E2AFE41AE77985A167F923E25B3',-1,X'9DE52E2AFE41AE8C4B1354908FBCAD35',X'9DE52E2AFE41AE8C4B1354908FBCAD35',0,1,1,NULL,6440029369330803837,NULL,2509743061342583251,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,-5,NULL,NULL,NULL,NULL,NULL,NULL,1,NULL,NULL,NULL,NULL,'run-1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[-10]',NULL,1,3);
INSERT INTO "entries" VALUES(3,X'9DE52E2AFE410C5EC702F5B53C662DE3',1,X'9DE52E2AFE41AE8C4B1354908FBCAD35',X'9DE52E2AFE41AE8C4B1354908FBCAD35',0,1,1,NULL,4347218401172412159,NULL,7602817706614091722,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,1,7,NULL,NULL,NULL,NULL,NULL,NULL,1,NULL,NULL,NULL,NULL,'run-1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[10]',NULL,1,3);
INSERT INTO "entries" VALUES(4,X'8E580CDE31EA87DFADB17BCB8A51A13C',1,NULL,NULL,0,1,1,NULL,6916834699965542902,NULL,5548650397924526266,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,2,NULL,NULL,NULL,NULL,NULL,NULL,1,NULL,NULL,NULL,NULL,'run-000001',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'[10]',NULL,1,4);
CREATE TABLE layouts (id INTEGER PRIMARY KEY, meters TEXT NOT NULL);
INSERT INTO "layouts" VALUES(2509743061342583251,'[["input","5",1,"p/m/input@always","1/2"]]');
INSERT INTO "layouts" VALUES(5548650397924526266,'[["input","2",1,"p/m/input@always","1/5"]]');
INSERT INTO "layouts" VALUES(7602817706614091722,'[["input","1000000007",1,"p/m/input@always","1000000007/10"]]');
CREATE TABLE names (name TEXT PRIMARY KEY, id BLOB NOT NULL UNIQUE) WITHOUT ROWID;
INSERT INTO "names" VALUES('e-1',X'9DE52E2AFE41AE8C4B1354908FBCAD35');
INSERT INTO "names" VALUES('e-2',X'8E580CDE31EA87DFADB17BCB8A51A13C');
INSERT INTO "names" VALUES('e-3',X'39B8B620506CA099AE7E47440FD7997A');
CREATE TABLE outcomes (
    id PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    run_id,
    at_ns INTEGER NOT NULL,
    attribution TEXT NOT NULL,
    value TEXT,
    unit TEXT
) WITHOUT ROWID;
INSERT INTO "outcomes" VALUES('o-1','ticket',2,'run-1',5,'{}',NULL,NULL);
CREATE TABLE places (segment TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "places" VALUES('gone-1',17);
CREATE TABLE rates (
    rate_card TEXT NOT NULL, rate_id TEXT NOT NULL, about TEXT NOT NULL, PRIMARY KEY (rate_card, rate_id)
) WITHOUT ROWID;
CREATE TABLE runs (
    run_id PRIMARY KEY NOT NULL,
    root_run_id NOT NULL,
    parent_run_id,
    parent_step_id,
    workflow TEXT NOT NULL,
    version TEXT,
    status TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    ended_ns INTEGER,
    attribution TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "runs" VALUES('run-1','run-1',NULL,NULL,'w',NULL,'ok',1790000000000000000,1790000000000000009,'{}');
CREATE TABLE sightings (
    event BLOB NOT NULL,
    digest BLOB NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    counted_by TEXT,
    observer TEXT NOT NULL,
    seen_ns INTEGER NOT NULL,
    context INTEGER NOT NULL,
    subject INTEGER,
    charge_start INTEGER NOT NULL,
    run_id,
    span_id,
    units INTEGER,
    nano INTEGER,
    atto INTEGER,
    PRIMARY KEY (event, digest)
) WITHOUT ROWID;
INSERT INTO "sightings" VALUES(X'39B8B620506CA099AE7E47440FD7997A',X'240DC6129A3540334148BF2F','joined','downstream','e-2','other',1795643649374704941,6916834699965542902,NULL,1,'run-000001',NULL,0,0,9);
CREATE TABLE steps (
    step_id PRIMARY KEY NOT NULL,
    run_id NOT NULL,
    parent_step_id,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    ended_ns INTEGER
) WITHOUT ROWID;
CREATE TABLE subjects (
    id INTEGER PRIMARY KEY,
    session_id TEXT,
    user_id TEXT,
    conversation_id TEXT,
    labels TEXT
);
CREATE TABLE unread (
    writer TEXT NOT NULL, number INTEGER NOT NULL, record BLOB NOT NULL, why TEXT NOT NULL, PRIMARY KEY (writer, number)
) WITHOUT ROWID;
CREATE TABLE views (
    event BLOB NOT NULL, digest BLOB NOT NULL, record TEXT NOT NULL, PRIMARY KEY (event, digest)
) WITHOUT ROWID;
INSERT INTO "views" VALUES(X'9DE52E2AFE41AE8C4B1354908FBCAD35',X'CDC0D2979E4062E4559A9B16','["e-1", 1, 2, "p", "m", null, "chat", null, null, null, null, "success", "yes", null, true, false, [], true, 1, 0, 0, null, null, "run-1", null, null, null, null, null, null, null, null, {}, null, "priced", null, "USD", 1000000007, null, "t@1", "[[\"input\",\"1000000007\",1,\"p/m/input@always\",\"1000000007/10\"]]", [10], null, null]');
CREATE TABLE writers (number INTEGER PRIMARY KEY, writer TEXT NOT NULL UNIQUE);
INSERT INTO "writers" VALUES(1,'e3c4b669025b3179ee6f763d15fe59c2');
CREATE INDEX entries_corrects ON entries (corrects) WHERE corrects IS NOT NULL;
CREATE INDEX entries_event ON entries (event) WHERE event IS NOT NULL;
CREATE INDEX entries_start ON entries (charge_start);
CREATE INDEX entries_run ON entries (run_id);
CREATE INDEX entries_span ON entries (span_id);
CREATE INDEX runs_root ON runs (root_run_id);
CREATE INDEX runs_parent ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX steps_inside ON steps (run_id, parent_step_id);
CREATE VIEW charges AS
SELECT COALESCE(w.name, lower(hex(COALESCE(e.event, e.id)))) AS event_id,
    c.currency, c.kind, c.source, c.provider, c.host, c.provider_organization, c.provider_project, c.credential, c.gateway, c.model, c.request_model, c.operation, c.api, c.service_tier, c.region, c.speed, c.workflow, c.step, c.agent, c.status, c.chargeable, c.error_type, c.complete, c.estimated, c.flags, c.charge_status, c.reason, c.confidence, c.rate_card, c.evidence, c.tenant_id, c.customer_id, c.feature_id, c.product, c.team, c.business_unit, c.cost_center, c.plan_tier, c.phase, c.project_id, c.forecast_category, c.service, c.environment, c.cloud_provider, c.cloud_account, c.cloud_region, c.k8s_cluster, c.k8s_namespace, c.k8s_workload, c.host_type, s.session_id, s.user_id, s.conversation_id, s.labels,
    e.charge_start AS started_ns, e.charge_start + e.charge_ns AS ended_ns, e.attempt, e.retry_count,
    CASE typeof(e.run_id) WHEN 'blob' THEN lower(hex(e.run_id)) ELSE e.run_id END AS run_id,
    CASE typeof(e.step_id) WHEN 'blob' THEN lower(hex(e.step_id)) ELSE e.step_id END AS step_id,
    CASE typeof(e.span_id) WHEN 'blob' THEN lower(hex(e.span_id)) ELSE e.span_id END AS span_id,
    e.request_id, e.response_id, e.amount_units, e.amount_nano, e.amount_atto,
    e.amount_units + e.amount_nano / 1e9 + e.amount_atto / 1e18 AS amount
FROM entries e JOIN contexts c ON c.id = e.context LEFT JOIN subjects s ON s.id = e.subject
    LEFT JOIN names w ON w.id = COALESCE(e.event, e.id)
WHERE e.n = 1 AND NOT EXISTS (SELECT 1 FROM entries r WHERE r.corrects = e.id);
COMMIT;
PRAGMA user_version = 5;
