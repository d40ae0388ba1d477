// The Vercel AI SDK with its own telemetry; the argument names the integration of @ai-sdk/otel that version 7 needs.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import * as sdk from "ai";

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": process.env.OTEL_SERVICE_NAME }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
provider.register();
if (process.argv[2]) {
  const otel = await import("@ai-sdk/otel");
  sdk.registerTelemetry(new otel[process.argv[2]]());
}

// Version 4 asks for the usage of a stream only where it is "strict", as its ready-made `openai` is.
const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL, compatibility: "strict" });
const anthropic = createAnthropic({ baseURL: `${process.env.ANTHROPIC_BASE_URL}/v1` });
const telemetry = { experimental_telemetry: { isEnabled: true, functionId: "recorded" }, maxRetries: 0 };

const ask = (model, prompt, options) => sdk.generateText({ model, prompt, ...telemetry, ...options });

async function stream(model, prompt) {
  for await (const _ of sdk.streamText({ model, prompt, ...telemetry }).textStream);
}

await ask(openai.chat("gpt-4o"), "plain question");
await ask(openai.chat("gpt-4o"), "cached question");
await ask(openai.chat("o3"), "hard question");
await ask(openai.responses("gpt-5"), "cached question");
await ask(openai.responses("gpt-5"), "hard question");
await ask(anthropic("claude-sonnet-4-5"), "plain question");
await ask(anthropic("claude-sonnet-4-5"), "written question");
await stream(openai.chat("gpt-4o"), "streamed question");
await stream(createOpenAI({ baseURL: process.env.OPENAI_BASE_URL }).chat("gpt-4.1"), "streamed question");
await stream(openai.responses("gpt-4.1"), "streamed question");
await stream(anthropic("claude-haiku-4-5"), "streamed question");

const embedding = openai.embedding("text-embedding-3-small");
await sdk.embed({ model: embedding, value: "plain question", ...telemetry });
await sdk.embedMany({ model: embedding, values: ["plain question", "again"], ...telemetry });

const schema = sdk.jsonSchema({ type: "object", properties: { query: { type: "string" } }, required: ["query"] });
const search = { description: "Search", parameters: schema, inputSchema: schema, execute: async () => "Much." };
await ask(openai.chat("gpt-4o"), "tool question", {
  tools: { search: sdk.tool(search) },
  maxSteps: 3,
  stopWhen: sdk.stepCountIs?.(3),
});

// An answer that is billed and does not fit the schema, and a call that is refused.
const unfit = { model: openai.chat("gpt-4o"), schema, prompt: "cached question", ...telemetry };
await sdk.generateObject(unfit).catch(() => {});
await ask(openai.chat("gpt-4o"), "bad question").catch(() => {});
await provider.shutdown();
