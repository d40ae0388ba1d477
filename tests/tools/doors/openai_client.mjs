// The openai client for Node under the instrumentation whose package and class the arguments name.

import { createRequire } from "node:module";
import { metrics } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": process.env.OTEL_SERVICE_NAME }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
provider.register();
const require = createRequire(import.meta.url);
const [name, instrumentor] = process.argv.slice(2);
const instrumentation = new (require(name)[instrumentor])();
instrumentation.setMeterProvider(metrics.getMeterProvider());
const { OpenAI } = require("openai");
instrumentation.manuallyInstrument?.(OpenAI);
const client = new OpenAI({ maxRetries: 0 });

const ask = (content, options) =>
  client.chat.completions.create({ model: "gpt-4o", messages: [{ role: "user", content }], ...options });

async function stream(content, options) {
  for await (const _ of await ask(content, { stream: true, ...options }));
}

await ask("plain question");
await ask("cached question");
await ask("hard question", { model: "o3" });
await stream("streamed question", { stream_options: { include_usage: true } });
await stream("streamed question", { model: "gpt-4.1" });
await client.responses.create({ model: "gpt-5", input: "cached question" });
await client.embeddings.create({ model: "text-embedding-3-small", input: "plain question" });
await ask("bad question").catch(() => {});
await new Promise((done) => setTimeout(done, 100)); // A failed call's span may end after the caller knows.
await provider.shutdown();
