// Sends spans with OpenTelemetry's own exporters for Node: `node send.mjs PROTOCOL ENDPOINT COMPRESSION COUNT`.

import { ROOT_CONTEXT } from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

const [protocol, endpoint, compression, count] = process.argv.slice(2);
const packages = { "http-json": "http", "http-protobuf": "proto", grpc: "grpc" };
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${packages[protocol]}`);
const url = protocol === "grpc" ? endpoint : `${endpoint}/v1/traces`;
const exporter = new OTLPTraceExporter({ url, compression, timeoutMillis: 20000 });

// Counts what could not be sent.
let failed = 0;
const errors = [];
const counting = {
  export: (spans, done) =>
    exporter.export(spans, (result) => {
      if (result.code !== 0) {
        failed += spans.length;
        errors.push(String(result.error?.message ?? "unknown"));
      }
      done(result);
    }),
  forceFlush: () => exporter.forceFlush(),
  shutdown: () => exporter.shutdown(),
};

const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ "service.name": "sender" }),
  spanProcessors: [new BatchSpanProcessor(counting, { maxQueueSize: Number(count), maxExportBatchSize: 200 })],
});
const tracer = provider.getTracer("test", "1.0");
const attributes = {
  "gen_ai.operation.name": "chat",
  "gen_ai.provider.name": "openai",
  "gen_ai.request.model": "gpt-4o",
  "gen_ai.request.stop_sequences": ["one", "two"],
  "gen_ai.request.temperature": 0.5,
  "gen_ai.request.stream": false,
  "gen_ai.usage.input_tokens": 1000,
  "gen_ai.usage.output_tokens": 500,
};
let links = [];
for (let n = 0; n < count; n++) {
  const span = tracer.startSpan("chat gpt-4o", { attributes, links }, ROOT_CONTEXT);
  span.addEvent("answered", { number: n });
  span.end();
  links = [{ context: span.spanContext(), attributes: { before: true } }];
}
await provider.forceFlush().catch(() => {});
await provider.shutdown().catch(() => {});
console.log(JSON.stringify({ sent: Number(count), failed, errors }));
process.exit(failed ? 1 : 0);
