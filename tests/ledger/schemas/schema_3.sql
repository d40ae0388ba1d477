CREATE TABLE aliases (
    alias TEXT PRIMARY KEY,
    event_id TEXT NOT NULL,
    evidence TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "aliases" VALUES('88e7e8ea2429e3d5a186eac95809871c','9fea74759541ad6b41bc084a25986d40','propagated');
CREATE TABLE charge_lines (
    event_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    meter TEXT NOT NULL,
    quantity TEXT NOT NULL,
    unit_price TEXT,
    per INTEGER NOT NULL,
    rate_id TEXT,
    nano INTEGER,
    atto_rest INTEGER,
    PRIMARY KEY (event_id, position)
) WITHOUT ROWID;
INSERT INTO "charge_lines" VALUES('1033b984de7a332ae281ee76cda4a530',0,'input','10','100',1,'p/m/input@always',0,100);
INSERT INTO "charge_lines" VALUES('1033b984de7a332ae281ee76cda4a530',1,'output','10','40',1,'p/m/output@always',0,40);
INSERT INTO "charge_lines" VALUES('90c0ce4a5f94bd0a80999ce5c87f01e6',0,'input','10','7',1,'p/m/input@always',0,7);
INSERT INTO "charge_lines" VALUES('9fea74759541ad6b41bc084a25986d40',0,'input','10','13',1,'p/m/input@always',0,13);
INSERT INTO "charge_lines" VALUES('a2e45edd902b0984473e9abd62793df8',0,'input','10','2500000000000000',1,'p/m/input@always',2500000,0);
INSERT INTO "charge_lines" VALUES('a2e45edd902b0984473e9abd62793df8',1,'output','10','960000000000000',1,'p/m/output@always',960000,0);
INSERT INTO "charge_lines" VALUES('cf862387823d1ad5c24d6823d7a5ebc1',0,'input','10','3',1,'p/m/input@always',0,3);
INSERT INTO "charge_lines" VALUES('e5457df302c848862e4d72a1c19fbcd0',0,'input','10',NULL,1,NULL,NULL,NULL);
INSERT INTO "charge_lines" VALUES('e780527a432a677b976753c381cfe34d',0,'seconds','1.5','0.001',1,'r',1500000,0);
INSERT INTO "charge_lines" VALUES('text-id-1',0,'input','50','2',1,'above',0,100);
INSERT INTO "charge_lines" VALUES('text-id-1',1,'input','200','1',1,'below',0,200);
INSERT INTO "charge_lines" VALUES('text-id-1',2,'pages','3',NULL,1,NULL,NULL,NULL);
CREATE TABLE charges (
    event_id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL DEFAULT 1,
    payload_hash TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    request_model TEXT,
    response_id TEXT,
    operation TEXT NOT NULL,
    api TEXT,
    service_tier TEXT,
    region TEXT,
    speed TEXT,
    status TEXT NOT NULL,
    billed TEXT NOT NULL,
    error_type TEXT,
    attempt INTEGER NOT NULL,
    retry_count INTEGER NOT NULL,
    backoff_ns INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    flags TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    ended_ns INTEGER NOT NULL,
    trace_id TEXT,
    span_id TEXT,
    run_id TEXT,
    root_run_id TEXT,
    workflow TEXT,
    step TEXT,
    step_id TEXT,
    agent TEXT,
    tenant_id TEXT,
    customer_id TEXT,
    feature_id TEXT,
    product TEXT,
    team TEXT,
    cost_center TEXT,
    plan_tier TEXT,
    environment TEXT,
    project_id TEXT,
    user_id TEXT,
    session_id TEXT,
    charge_status TEXT NOT NULL,
    reason TEXT,
    currency TEXT NOT NULL,
    nano INTEGER,
    atto_rest INTEGER,
    computed_amount TEXT,
    rate_card TEXT,
    retry_of TEXT,
    fallback_of TEXT,
    host TEXT,
    provider_organization TEXT,
    provider_project TEXT,
    credential TEXT,
    request_id TEXT,
    gateway_call_id TEXT,
    gateway_declared TEXT,
    upstream_id TEXT
);
INSERT INTO "charges" VALUES('27f801aba718405350cd0b7515299fe1',1,'a13b3181ed9aa4cfe27043f4','p','m',NULL,NULL,'chat',NULL,NULL,NULL,NULL,'retry','no','429',1,0,0,1,0,'[]',1760000000000000005,1760000000000000009,'848b8980831549d002ca23a38b2a539b','1a811f0b8a195d56','e9791706c519c71de70c4b95b7542a32','e9791706c519c71de70c4b95b7542a32','score','classify','844d6611dcac8975c01141aa608af6e8',NULL,'t-1',NULL,NULL,NULL,'search',NULL,NULL,'prod',NULL,'u-1',NULL,'priced',NULL,'USD',0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "charges" VALUES('a2e45edd902b0984473e9abd62793df8',1,'18eccb93c4d306f4d3d1233d','p','m',NULL,'resp-1','chat',NULL,NULL,NULL,NULL,'success','yes',NULL,2,1,0,1,0,'[]',1760000000000000005,1760000000000000009,'848b8980831549d002ca23a38b2a539b','1a811f0b8a195d56','e9791706c519c71de70c4b95b7542a32','e9791706c519c71de70c4b95b7542a32','score','classify','844d6611dcac8975c01141aa608af6e8',NULL,'t-1',NULL,NULL,NULL,'search',NULL,NULL,'prod',NULL,'u-1',NULL,'priced',NULL,'USD',3460000,0,NULL,'t@1','27f801aba718405350cd0b7515299fe1',NULL,'api.example',NULL,'p-1','c:0123456789abcdef','req-1',NULL,'0',NULL);
INSERT INTO "charges" VALUES('text-id-1',1,'71e11602bec0370c8b38dd45','p','m',NULL,NULL,'chat',NULL,NULL,NULL,NULL,'success','yes',NULL,1,0,0,0,0,'["cached_exceeds_input"]',1760000000000000020,1760000000000000030,NULL,NULL,'run-named',NULL,'plain',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'partial','usage_incomplete','USD',0,300,NULL,'t@1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "charges" VALUES('1033b984de7a332ae281ee76cda4a530',1,'18eccb93c4d306f4d3d1233d','p','m',NULL,NULL,'chat',NULL,NULL,NULL,NULL,'success','yes',NULL,1,0,0,1,0,'[]',1760000000000000005,1760000000000000009,'848b8980831549d002ca23a38b2a539b','1a811f0b8a195d56','e9791706c519c71de70c4b95b7542a32','e9791706c519c71de70c4b95b7542a32','score',NULL,NULL,NULL,'t-1',NULL,NULL,NULL,'search',NULL,NULL,'prod',NULL,'u-1',NULL,'provider_reported',NULL,'USD',500000000,0,'0.00000000000000014','t@1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "charges" VALUES('e5457df302c848862e4d72a1c19fbcd0',1,'86f09786c16d033dd5a57e46','p','unknown',NULL,NULL,'chat',NULL,NULL,NULL,NULL,'success','yes',NULL,1,0,0,1,0,'[]',1760000000000000005,1760000000000000009,'848b8980831549d002ca23a38b2a539b','1a811f0b8a195d56','e9791706c519c71de70c4b95b7542a32','e9791706c519c71de70c4b95b7542a32','score','classify','844d6611dcac8975c01141aa608af6e8',NULL,'t-1',NULL,NULL,NULL,'search',NULL,NULL,'prod',NULL,'u-1',NULL,'unpriced','unknown_model:p/m','USD',NULL,NULL,NULL,'t@1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "charges" VALUES('cdd4fd1781c4612b9d5038fd3df2e909',1,'977f1d7ff261416ee9fe6ec8','p','m',NULL,NULL,'chat',NULL,NULL,NULL,NULL,'timeout','possibly',NULL,1,0,0,0,0,'[]',1760000000000000005,1760000000000000009,'848b8980831549d002ca23a38b2a539b','1a811f0b8a195d56','e9791706c519c71de70c4b95b7542a32','e9791706c519c71de70c4b95b7542a32','score','classify','844d6611dcac8975c01141aa608af6e8',NULL,'t-1',NULL,NULL,NULL,'search',NULL,NULL,'prod',NULL,'u-1',NULL,'unpriced','usage_not_received','USD',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "charges" VALUES('cf862387823d1ad5c24d6823d7a5ebc1',1,'18eccb93c4d306f4d3d1233d','p','m',NULL,NULL,'chat',NULL,NULL,NULL,NULL,'success','yes',NULL,1,0,0,1,0,'[]',1760000000000000040,1760000000000000041,'848b8980831549d002ca23a38b2a539b',NULL,'848b8980831549d002ca23a38b2a539b',NULL,NULL,'chat',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'priced',NULL,'EUR',0,3,NULL,'t@1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "charges" VALUES('e780527a432a677b976753c381cfe34d',1,'1b22316b57ebb20d49d682ac','p','m',NULL,NULL,'chat',NULL,NULL,NULL,NULL,'success','yes',NULL,1,0,0,1,0,'[]',1760000000000000040,1760000000000000041,NULL,NULL,'run-000001',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'priced',NULL,'USD',1500000,0,NULL,'t@1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "charges" VALUES('90c0ce4a5f94bd0a80999ce5c87f01e6',1,'18eccb93c4d306f4d3d1233d','p','m',NULL,NULL,'chat',NULL,NULL,NULL,NULL,'success','yes',NULL,1,0,0,1,0,'[]',1760000000000000050,1760000000000000051,NULL,NULL,'e9791706c519c71de70c4b95b7542a32',NULL,'remote',NULL,NULL,NULL,'株式会社',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'priced',NULL,'USD',0,7,NULL,'t@1',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "charges" VALUES('9fea74759541ad6b41bc084a25986d40',1,'18eccb93c4d306f4d3d1233d','p','m',NULL,NULL,'chat',NULL,NULL,NULL,NULL,'success','yes',NULL,1,0,0,1,0,'[]',1760000000000000110,1760000000000000150,NULL,NULL,'run-joined',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'priced',NULL,'USD',0,13,NULL,'t@1',NULL,NULL,'gw',NULL,NULL,NULL,NULL,NULL,'0','88e7e8ea2429e3d5a186eac95809871c');
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE outcomes (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    run_id TEXT,
    at_ns INTEGER NOT NULL,
    attribution TEXT NOT NULL
);
INSERT INTO "outcomes" VALUES(3720803263535415784,'document',3,'e9791706c519c71de70c4b95b7542a32',1760000000000000065,'{"tenant_id": "t-1", "user_id": "u-1", "team": "search", "environment": "prod"}');
CREATE TABLE rates (
    rate_card TEXT NOT NULL,
    rate_id TEXT NOT NULL,
    about TEXT NOT NULL,
    PRIMARY KEY (rate_card, rate_id)
) WITHOUT ROWID;
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY,
    root_run_id TEXT NOT NULL,
    parent_run_id TEXT,
    workflow TEXT NOT NULL,
    version TEXT,
    status TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    ended_ns INTEGER,
    attribution TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "runs" VALUES('e9791706c519c71de70c4b95b7542a32','e9791706c519c71de70c4b95b7542a32',NULL,'score','2','ok',1760000000000000000,1760000000000000070,'{"tenant_id": "t-1"}');
INSERT INTO "runs" VALUES('run-named','e9791706c519c71de70c4b95b7542a32','e9791706c519c71de70c4b95b7542a32','plain',NULL,'running',1760000000000000001,NULL,'{}');
CREATE TABLE sightings (
    event_id TEXT NOT NULL,
    payload_hash TEXT NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    counted_by TEXT,
    observer TEXT NOT NULL,
    seen_ns INTEGER NOT NULL,
    currency TEXT,
    nano INTEGER,
    atto_rest INTEGER,
    payload TEXT NOT NULL,
    PRIMARY KEY (event_id, payload_hash)
) WITHOUT ROWID;
INSERT INTO "sightings" VALUES('88e7e8ea2429e3d5a186eac95809871c','18eccb93c4d306f4d3d1233d','joined','downstream','9fea74759541ad6b41bc084a25986d40','',5,'USD',0,11,'{"event_id": "88e7e8ea2429e3d5a186eac95809871c", "payload_hash": "18eccb93c4d306f4d3d1233d", "provider": "p", "model": "m", "operation": "chat", "status": "success", "billed": "yes", "attempt": 1, "retry_count": 0, "backoff_ns": 0, "complete": 1, "estimated": 0, "flags": "[]", "started_ns": 1760000000000000100, "ended_ns": 1760000000000000200, "run_id": "run-joined", "charge_status": "priced", "currency": "USD", "nano": 0, "atto_rest": 11, "rate_card": "t@1"}');
INSERT INTO "sightings" VALUES('a2e45edd902b0984473e9abd62793df8','452c5547ddf416ed3e52781c','contradiction','','a2e45edd902b0984473e9abd62793df8','',5,'USD',0,99,'{"event_id": "a2e45edd902b0984473e9abd62793df8", "payload_hash": "452c5547ddf416ed3e52781c", "provider": "p", "model": "m", "operation": "chat", "status": "success", "billed": "yes", "attempt": 1, "retry_count": 0, "backoff_ns": 0, "complete": 1, "estimated": 0, "flags": "[]", "started_ns": 1760000000000000005, "ended_ns": 1760000000000000009, "trace_id": "848b8980831549d002ca23a38b2a539b", "span_id": "1a811f0b8a195d56", "run_id": "e9791706c519c71de70c4b95b7542a32", "root_run_id": "e9791706c519c71de70c4b95b7542a32", "workflow": "score", "step": "classify", "step_id": "844d6611dcac8975c01141aa608af6e8", "tenant_id": "t-1", "team": "search", "environment": "prod", "user_id": "u-1", "charge_status": "priced", "currency": "USD", "nano": 0, "atto_rest": 99, "rate_card": "t@1"}');
CREATE TABLE steps (
    step_id TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    parent_step_id TEXT,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    ended_ns INTEGER
) WITHOUT ROWID;
INSERT INTO "steps" VALUES('844d6611dcac8975c01141aa608af6e8','e9791706c519c71de70c4b95b7542a32',NULL,'classify','step','failed',1760000000000000002,1760000000000000060);
CREATE INDEX charges_started ON charges (started_ns);
CREATE INDEX charges_run ON charges (run_id);
CREATE INDEX charges_span ON charges (span_id);
CREATE INDEX runs_root ON runs (root_run_id);
CREATE INDEX steps_run ON steps (run_id);
PRAGMA user_version = 3;
