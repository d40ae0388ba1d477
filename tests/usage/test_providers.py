"""Every provider's usage, as it comes over the wire, read into disjoint meters."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aicost.usage.meters import direction_of
from aicost.usage.readers import READERS, READERS_BY_PROVIDER, read_response, read_usage, reader_of
from aicost.usage.reading import Reading


class TokenMessage:
    """What a protobuf message looks like to a reader: xai-sdk's usage, without its package."""

    DESCRIPTOR = "SamplingUsage"

    def ListFields(self) -> list[tuple[Any, Any]]:
        said = {"prompt_tokens": 9, "completion_tokens": 2, "reasoning_tokens": 5, "total_tokens": 16}
        return [(SimpleNamespace(name=name), value) for name, value in said.items()]


Case = tuple[str, str, str, dict[str, Any], dict[str, Any]]

CASES: list[Case] = [
    (
        "gemini: cache is inside the prompt, thoughts are outside the candidates",
        "gcp.gemini",
        "generate_content",
        {
            "promptTokenCount": 1000,
            "cachedContentTokenCount": 800,
            "candidatesTokenCount": 50,
            "thoughtsTokenCount": 70,
            "totalTokenCount": 1120,
        },
        {"input": 200, "input_cache_read": 800, "output": 50, "output_reasoning": 70},
    ),
    (
        "gemini: what a tool put into the prompt is input too",
        "gcp.gemini",
        "generate_content",
        {"promptTokenCount": 10, "toolUsePromptTokenCount": 90, "candidatesTokenCount": 5, "totalTokenCount": 105},
        {"input": 100, "output": 5},
    ),
    (
        "gemini: by modality, a page is an image",
        "gcp.vertex_ai",
        "generate_content",
        {
            "prompt_token_count": 600,
            "prompt_tokens_details": [
                {"modality": "TEXT", "token_count": 50},
                {"modality": "AUDIO", "token_count": 250},
                {"modality": "DOCUMENT", "token_count": 300},
            ],
            "cached_content_token_count": 100,
            "cache_tokens_details": [{"modality": "AUDIO", "token_count": 100}],
            "candidates_token_count": 40,
            "candidates_tokens_details": [{"modality": "IMAGE", "token_count": 40}],
            "total_token_count": 640,
            "traffic_type": "ON_DEMAND_FLEX",
        },
        {"input": 50, "input_audio": 150, "input_image": 300, "input_cache_read_audio": 100, "output_image": 40},
    ),
    (
        "gemini live: another name for the answer",
        "gcp.gemini",
        "generate_content",
        {"promptTokenCount": 10, "responseTokenCount": 4, "totalTokenCount": 14},
        {"input": 10, "output": 4},
    ),
    (
        "gemini embeddings: tokens of each text",
        "gcp.gemini",
        "embed_content",
        {"embeddings": [{"values": [], "statistics": {"tokenCount": 3}}, {"statistics": {"token_count": 4.0}}]},
        {"input": 7},
    ),
    (
        "vertex embeddings: characters",
        "gcp.vertex_ai",
        "embed_content",
        {"embeddings": [], "metadata": {"billableCharacterCount": 120}},
        {"input_characters": 120},
    ),
    (
        "gemini's compatible endpoint: thinking only in the total",
        "gcp.gemini",
        "chat",
        {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109},
        {"input": 35, "output": 12, "output_reasoning": 62},
    ),
    (
        "gemini live: a total that leaves thoughts out",
        "gcp.gemini",
        "generate_content",
        {"promptTokenCount": 100, "responseTokenCount": 40, "thoughtsTokenCount": 17, "totalTokenCount": 140},
        {"input": 100, "output": 40, "output_reasoning": 17},
    ),
    (
        "gemini: cached audio of a prompt that is not told apart is counted once",
        "gcp.gemini",
        "generate_content",
        {
            "promptTokenCount": 500,
            "cachedContentTokenCount": 120,
            "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 90}, {"modality": "TEXT", "tokenCount": 30}],
            "totalTokenCount": 500,
        },
        {"input": 380, "input_cache_read": 30, "input_cache_read_audio": 90},
    ),
    (
        "gemini embeddings: details under another name",
        "gcp.gemini",
        "embed_content",
        {
            "usageMetadata": {
                "promptTokenCount": 30,
                "promptTokenDetails": [{"modality": "TEXT", "tokenCount": 9}, {"modality": "IMAGE", "tokenCount": 21}],
            }
        },
        {"input": 9, "input_image": 21},
    ),
    (
        "vertex embeddings that bill tokens: the characters beside them are none of the bill",
        "gcp.vertex_ai",
        "embed_content",
        {
            "model": "gemini-embedding-001",
            "predictions": [{"embeddings": {"statistics": {"token_count": 6}}}],
            "metadata": {"billableCharacterCount": 27},
        },
        {"input": 6},
    ),
    (
        "vertex embeddings that bill characters: the tokens beside them are none of the bill",
        "gcp.vertex_ai",
        "embed_content",
        {
            "model": "text-embedding-005",
            "predictions": [{"embeddings": {"statistics": {"token_count": 6}}}],
            "metadata": {"billableCharacterCount": 27},
        },
        {"input_characters": 27},
    ),
    (
        "converse: cache is outside the input",
        "aws.bedrock",
        "converse",
        {
            "inputTokens": 10,
            "outputTokens": 20,
            "cacheReadInputTokens": 300,
            "cacheWriteInputTokens": 70,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 40}, {"ttl": "5m", "inputTokens": 30}],
            "totalTokens": 400,
        },
        {
            "input": 10,
            "input_cache_read": 300,
            "input_cache_write_1h": 40,
            "input_cache_write_5m": 30,
            "output": 20,
        },
    ),
    (
        "invoke_model: claude",
        "aws.bedrock",
        "invoke_model",
        {"usage": {"input_tokens": 5, "output_tokens": 6, "cache_read_input_tokens": 7}},
        {"input": 5, "input_cache_read": 7, "output": 6},
    ),
    (
        "invoke_model: nova",
        "aws.bedrock",
        "invoke_model",
        {"usage": {"inputTokens": 5, "outputTokens": 6, "cacheReadInputTokenCount": 2, "cacheWriteInputTokenCount": 0}},
        {"input": 5, "input_cache_read": 2, "output": 6},
    ),
    (
        "invoke_model: llama",
        "aws.bedrock",
        "invoke_model",
        {"generation": "hi", "prompt_token_count": 5, "generation_token_count": 6},
        {"input": 5, "output": 6},
    ),
    (
        "invoke_model: titan",
        "aws.bedrock",
        "invoke_model",
        {"inputTextTokenCount": 5, "results": [{"tokenCount": 6, "outputText": "hi"}, {"tokenCount": 1}]},
        {"input": 5, "output": 7},
    ),
    (
        "invoke_model: openai's open models",
        "aws.bedrock",
        "invoke_model",
        {"usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}},
        {"input": 5, "output": 6},
    ),
    (
        "invoke_model: headers where the body has no counts",
        "aws.bedrock",
        "invoke_model",
        {"X-Amzn-Bedrock-Input-Token-Count": "5", "x-amzn-bedrock-output-token-count": "6", "date": "now"},
        {"input": 5, "output": 6},
    ),
    (
        "invoke_model: headers where the body counts only a part",
        "aws.bedrock",
        "invoke_model",
        {
            "usage": {"inputTokens": 5},
            "x-amzn-bedrock-input-token-count": "5",
            "x-amzn-bedrock-output-token-count": "6",
        },
        {"input": 5, "output": 6},
    ),
    (
        "invoke_model: headers where boto3 has them",
        "aws.bedrock",
        "invoke_model",
        {
            "body": object(),
            "ResponseMetadata": {
                "HTTPHeaders": {
                    "x-amzn-bedrock-input-token-count": "5",
                    "x-amzn-bedrock-output-token-count": "6",
                    "x-amzn-bedrock-cache-read-input-token-count": "7",
                }
            },
        },
        {"input": 5, "input_cache_read": 7, "output": 6},
    ),
    (
        "invoke_model: the end of a stream",
        "aws.bedrock",
        "invoke_model",
        {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 5, "outputTokenCount": 6, "invocationLatency": 90}},
        {"input": 5, "output": 6},
    ),
    (
        "cohere v2 chat: what is billed, not what was seen",
        "cohere",
        "chat",
        {"billed_units": {"input_tokens": 5.0, "output_tokens": 418.0}, "tokens": {"input_tokens": 71.0}},
        {"input": 5, "output": 418},
    ),
    (
        "cohere: what hit the cache is of what was seen, not of what is billed",
        "cohere",
        "chat",
        {
            "billed_units": {"input_tokens": 14, "output_tokens": 61},
            "tokens": {"input_tokens": 230, "output_tokens": 61},
            "cached_tokens": 224,
        },
        {"input": 14, "output": 61},
    ),
    (
        "cohere v1 embed of images",
        "cohere",
        "embeddings",
        {"meta": {"api_version": {"version": "1"}, "billed_units": {"image_tokens": 90.0, "images": 2.0}}},
        {"input_image": 90, "input_images": 2},
    ),
    (
        "cohere rerank: searches",
        "cohere",
        "rerank",
        {"results": [], "meta": {"billed_units": {"search_units": 2.0}}},
        {"search_units": 2},
    ),
    ("voyage rerank: tokens", "voyage", "rerank", {"results": [], "usage": {"total_tokens": 26}}, {"input": 26}),
    ("voyage embeddings", "voyage", "embeddings", {"total_tokens": 10}, {"input": 10}),
    (
        "voyage multimodal: text and pixels",
        "voyage",
        "embeddings",
        {"text_tokens": 5, "image_pixels": 2_000_000, "total_tokens": 3576},
        {"input": 5, "input_pixels": 2_000_000},
    ),
    (
        "ollama: tokens and machine time",
        "ollama",
        "chat",
        {"prompt_eval_count": 26, "prompt_eval_duration": 342546000, "eval_count": 290, "eval_duration": 7013000000},
        {"input": 26, "output": 290, "compute_seconds": Decimal("7.355546")},
    ),
    (
        "ollama's compatible endpoint",
        "ollama",
        "chat",
        {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        {"input": 3, "output": 4},
    ),
    (
        "cohere's compatible endpoint",
        "cohere",
        "chat",
        {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        {"input": 3, "output": 4},
    ),
    (
        "mistral: seconds of audio",
        "mistral_ai",
        "chat",
        {"prompt_tokens": 4, "completion_tokens": 7, "total_tokens": 11, "prompt_audio_seconds": 203},
        {"input": 4, "output": 7, "input_audio_seconds": 203},
    ),
    (
        "mistral: cached tokens by a name of its own",
        "mistral_ai",
        "chat",
        {"prompt_tokens": 90, "completion_tokens": 7, "total_tokens": 97, "num_cached_tokens": 64},
        {"input": 26, "input_cache_read": 64, "output": 7},
    ),
    (
        "mistral: connectors of a conversation, and their tokens where the total has them",
        "mistral_ai",
        "chat",
        {
            "prompt_tokens": 90,
            "completion_tokens": 7,
            "total_tokens": 297,
            "connector_tokens": 200,
            "connectors": {"web_search": 2},
        },
        {"input": 290, "output": 7, "tool_web_search": 2},
    ),
    (
        "mistral OCR with annotations",
        "mistral_ai",
        "ocr",
        {"pages_processed": 9, "pages_processed_annotation": 2},
        {"pages": 7, "annotated_pages": 2},
    ),
    ("mistral OCR", "mistral_ai", "ocr", {"pages_processed": 3, "doc_size_bytes": 90210}, {"pages": 3}),
    (
        "groq: its timings are no counts",
        "groq",
        "chat",
        {
            "queue_time": 0.1,
            "prompt_tokens": 18,
            "prompt_time": 0.0006,
            "completion_tokens": 50,
            "completion_time": 0.4,
            "total_tokens": 68,
            "total_time": 0.41,
            "prompt_tokens_details": {"cached_tokens": 10},
            "completion_tokens_details": {"reasoning_tokens": 20},
        },
        {"input": 8, "input_cache_read": 10, "output": 30, "output_reasoning": 20},
    ),
    (
        "deepseek: hits and misses",
        "deepseek",
        "chat",
        {
            "prompt_tokens": 100,
            "completion_tokens": 30,
            "total_tokens": 130,
            "prompt_cache_hit_tokens": 64,
            "prompt_cache_miss_tokens": 36,
            "completion_tokens_details": {"reasoning_tokens": 10},
        },
        {"input": 36, "input_cache_read": 64, "output": 20, "output_reasoning": 10},
    ),
    (
        "xai: reasoning comes on top, by the total",
        "x_ai",
        "chat",
        {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 135,
            "prompt_tokens_details": {"text_tokens": 32, "cached_tokens": 6},
            "completion_tokens_details": {"reasoning_tokens": 94},
            "num_sources_used": 0,
        },
        {"input": 26, "input_cache_read": 6, "output": 9, "output_reasoning": 94},
    ),
    (
        "xai: reasoning inside, by the total",
        "x_ai",
        "chat",
        {
            "prompt_tokens": 32,
            "completion_tokens": 103,
            "total_tokens": 135,
            "completion_tokens_details": {"reasoning_tokens": 94},
        },
        {"input": 32, "output": 9, "output_reasoning": 94},
    ),
    (
        "xai's own protocol, with tools",
        "x_ai",
        "chat",
        {
            "prompt_tokens": 100,
            "prompt_text_tokens": 100,
            "cached_prompt_text_tokens": 40,
            "completion_tokens": 5,
            "reasoning_tokens": 20,
            "total_tokens": 125,
            "server_side_tools_used": [1, 1, 2, 7],
            "cost_in_usd_ticks": 123_400_000,
        },
        {
            "input": 60,
            "input_cache_read": 40,
            "output": 5,
            "output_reasoning": 20,
            "tool_web_search": 2,
            "tool_x_search": 1,
        },
    ),
    (
        "xai's own protocol, as JSON that protobuf made",
        "x_ai",
        "chat",
        {
            "promptTokens": "100",
            "cachedPromptTextTokens": "40",
            "completionTokens": "5",
            "reasoningTokens": "20",
            "totalTokens": "125",
            "serverSideToolsUsed": ["SERVER_SIDE_TOOL_WEB_SEARCH", "SERVER_SIDE_TOOL_VIEW_IMAGE"],
        },
        {"input": 60, "input_cache_read": 40, "output": 5, "output_reasoning": 20, "tool_web_search": 1},
    ),
    (
        "responses of others: what was written to the cache",
        "bedrock_mantle",
        "responses",
        {
            "input_tokens": 3000,
            "output_tokens": 25,
            "total_tokens": 3025,
            "input_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 1500},
        },
        {"input": 500, "input_cache_read": 1000, "input_cache_write": 1500, "output": 25},
    ),
    (
        "writer: details under a name of its own",
        "writer",
        "chat",
        {
            "prompt_tokens": 90,
            "completion_tokens": 30,
            "total_tokens": 120,
            "prompt_token_details": {"cached_tokens": 50},
            "completion_token_details": {"reasoning_tokens": 10},
        },
        {"input": 40, "input_cache_read": 50, "output": 20, "output_reasoning": 10},
    ),
    (
        "openrouter: searches",
        "openrouter",
        "chat",
        {
            "prompt_tokens": 8,
            "completion_tokens": 9,
            "total_tokens": 17,
            "server_tool_use_details": {"web_search_requests": 2, "tool_calls_requested": 3, "tool_calls_executed": 2},
        },
        {"input": 8, "output": 9, "tool_web_search": 2},
    ),
    (
        "xai responses, with its tool counts",
        "x_ai",
        "responses",
        {
            "input_tokens": 100,
            "output_tokens": 25,
            "total_tokens": 125,
            "output_tokens_details": {"reasoning_tokens": 20},
            "server_side_tool_usage_details": {"web_search_calls": 3, "mcp_calls": 1},
        },
        {"input": 100, "output": 5, "output_reasoning": 20, "tool_web_search": 3},
    ),
    (
        "openrouter: a write, a read, and the cost",
        "openrouter",
        "chat",
        {
            "prompt_tokens": 194,
            "completion_tokens": 2,
            "total_tokens": 196,
            "cost": 0.95,
            "cost_details": {"upstream_inference_cost": 19},
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 60, "audio_tokens": 0},
        },
        {"input": 34, "input_cache_read": 100, "input_cache_write": 60, "output": 2},
    ),
    (
        "perplexity deep research: reasoning and citations beside the total",
        "perplexity",
        "chat",
        {
            "prompt_tokens": 33,
            "completion_tokens": 7163,
            "total_tokens": 7196,
            "citation_tokens": 20016,
            "num_search_queries": 18,
            "reasoning_tokens": 73997,
        },
        {
            "input": 33,
            "input_citation": 20016,
            "output": 7163,
            "output_reasoning": 73997,
            "tool_web_search": 18,
        },
    ),
    (
        "perplexity: one search of a size",
        "perplexity",
        "chat",
        {"prompt_tokens": 8, "completion_tokens": 9, "total_tokens": 17, "search_context_size": "low"},
        {"input": 8, "output": 9, "tool_web_search_low": 1},
    ),
    (
        "a host of open models",
        "together",
        "chat",
        {
            "prompt_tokens": 8,
            "completion_tokens": 9,
            "total_tokens": 17,
            "cached_tokens": 2,
            "prompt_tokens_details": None,
        },
        {"input": 6, "input_cache_read": 2, "output": 9},
    ),
    (
        "a host's embeddings",
        "vllm",
        "embeddings",
        {"prompt_tokens": 8, "total_tokens": 8, "completion_tokens": 0},
        {"input": 8},
    ),
    (
        "azure: as OpenAI",
        "azure.ai.openai",
        "chat",
        {"prompt_tokens": 8, "completion_tokens": 9, "total_tokens": 17, "prompt_tokens_details": {"cached_tokens": 4}},
        {"input": 4, "input_cache_read": 4, "output": 9},
    ),
    (
        "realtime: by modality, cached by modality",
        "openai",
        "realtime",
        {
            "total_tokens": 253,
            "input_tokens": 132,
            "output_tokens": 121,
            "input_token_details": {
                "text_tokens": 119,
                "audio_tokens": 13,
                "image_tokens": 0,
                "cached_tokens": 64,
                "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4, "image_tokens": 0},
            },
            "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
        },
        {
            "input": 59,
            "input_audio": 9,
            "input_cache_read": 60,
            "input_cache_read_audio": 4,
            "output": 30,
            "output_audio": 91,
        },
    ),
    (
        "realtime: reasoning is output, too",
        "openai",
        "realtime",
        {
            "total_tokens": 330,
            "input_tokens": 30,
            "output_tokens": 300,
            "output_token_details": {"text_tokens": 180, "audio_tokens": 120, "reasoning_tokens": 70},
        },
        {"input": 30, "output": 110, "output_reasoning": 70, "output_audio": 120},
    ),
    (
        "images: cached by kind",
        "openai",
        "images",
        {
            "input_tokens": 500,
            "input_tokens_details": {"text_tokens": 100, "image_tokens": 400},
            "cached_tokens": 350,
            "cached_tokens_details": {"cached_image_tokens": 300, "cached_text_tokens": 50},
            "output_tokens": 60,
            "total_tokens": 560,
        },
        {
            "input": 50,
            "input_image": 100,
            "input_cache_read": 50,
            "input_cache_read_image": 300,
            "output_image": 60,
        },
    ),
    (
        "images: what comes out is image",
        "openai",
        "images",
        {
            "input_tokens": 50,
            "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
            "output_tokens": 4160,
            "total_tokens": 4210,
        },
        {"input": 10, "input_image": 40, "output_image": 4160},
    ),
    (
        "transcription by tokens",
        "openai",
        "transcription",
        {
            "type": "tokens",
            "input_tokens": 14,
            "input_token_details": {"text_tokens": 10, "audio_tokens": 4},
            "output_tokens": 101,
            "total_tokens": 115,
        },
        {"input": 10, "input_audio": 4, "output": 101},
    ),
    (
        "transcription by the second",
        "openai",
        "transcription",
        {"type": "duration", "seconds": 12.3},
        {"input_audio_seconds": Decimal("12.3")},
    ),
    ("speech by the character", "openai", "speech", {"input_characters": 42}, {"input_characters": 42}),
    (
        "speech by tokens",
        "openai",
        "speech",
        {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115},
        {"input": 14, "output_audio": 101},
    ),
    ("moderation is free", "openai", "moderations", {"id": "m", "results": []}, {}),
    (
        "anthropic: a compaction comes on top, an advisor under its own name",
        "anthropic",
        "messages",
        {
            "input_tokens": 100,
            "output_tokens": 20,
            "iterations": [
                {"type": "message", "input_tokens": 60, "output_tokens": 5, "cache_read_input_tokens": 0},
                {"type": "compaction", "input_tokens": 1000, "output_tokens": 200, "cache_creation_input_tokens": 0},
                {"type": "message", "input_tokens": 40, "output_tokens": 15},
                {"type": "advisor_message", "model": "claude-opus-5", "input_tokens": 7, "output_tokens": 3},
            ],
        },
        {"input": 1100, "output": 220, "claude-opus-5/input": 7, "claude-opus-5/output": 3},
    ),
    (
        "anthropic: a fallback served the answer",
        "anthropic",
        "messages",
        {
            "input_tokens": 50,
            "output_tokens": 20,
            "iterations": [
                {"type": "message", "model": "claude-fable-5", "input_tokens": 50, "output_tokens": 1},
                {"type": "fallback_message", "model": "claude-opus-5", "input_tokens": 50, "output_tokens": 20},
            ],
        },
        {
            "claude-fable-5/input": 50,
            "claude-fable-5/output": 1,
            "claude-opus-5/input": 50,
            "claude-opus-5/output": 20,
        },
    ),
]


@pytest.mark.parametrize(("provider", "api", "raw", "usage"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_usage_is_read_into_disjoint_meters(
    provider: str, api: str, raw: dict[str, Any], usage: dict[str, Any]
) -> None:
    reading = read_usage(raw, api=api, provider=provider)
    assert reading.usage == usage
    assert reading.flags == ()
    assert reading.complete


@dataclass
class Tokens:
    prompt_tokens: int
    completion_tokens: int


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        (Tokens(3, 4), {"input": 3, "output": 4}),
        (MappingProxyType({"prompt_tokens": 3, "completion_tokens": 4}), {"input": 3, "output": 4}),
        (SimpleNamespace(prompt_tokens=3, completion_tokens=4, _client=object()), {"input": 3, "output": 4}),
        (TokenMessage(), {"input": 9, "output": 2, "output_reasoning": 5}),
    ],
    ids=["a dataclass", "a mapping", "a plain object", "a protobuf message"],
)
def test_usage_may_be_any_kind_of_object(usage: object, read: dict[str, int]) -> None:
    assert read_usage(usage, api="chat", provider="xai").usage == read


GUESSED = {
    "gemini: cache is inside the prompt, thoughts are outside the candidates",
    "converse: cache is outside the input",
    "invoke_model: llama",
    "invoke_model: titan",
    "cohere v2 chat: what is billed, not what was seen",
    "ollama: tokens and machine time",
    "xai: reasoning comes on top, by the total",
    "deepseek: hits and misses",
    "mistral OCR",
    "realtime: by modality, cached by modality",
    "transcription by tokens",
    "transcription by the second",
    "speech by the character",
    "anthropic: a compaction comes on top, an advisor under its own name",
}


@pytest.mark.parametrize("case", [c for c in CASES if c[0] in GUESSED], ids=lambda case: case[0])
def test_the_api_is_guessed_from_the_object(case: Case) -> None:
    _, provider, _, raw, usage = case
    assert read_usage(raw, provider=provider).usage == usage


def test_every_pinned_api_has_a_reader_that_says_how_it_counts() -> None:
    pinned = "chat responses embeddings messages generate_content converse rerank images transcription speech"
    assert set(pinned.split()) <= set(READERS)
    assert {api for api, reader in READERS.items() if reader.input == "exclusive"} == {
        "messages",
        "converse",
        "invoke_model",
    }
    assert [api for api, reader in READERS.items() if reader.output == "exclusive"] == ["generate_content"]


WRONG: list[tuple[str, str, str, dict[str, Any], tuple[str, ...]]] = [
    (
        "gemini's total",
        "gcp.gemini",
        "generate_content",
        {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 99},
        ("total_tokens_mismatch",),
    ),
    (
        "more cached than prompted",
        "gcp.gemini",
        "generate_content",
        {"promptTokenCount": 10, "cachedContentTokenCount": 50, "candidatesTokenCount": 5, "totalTokenCount": 15},
        ("input_tokens_exceeded",),
    ),
    (
        "a modality of tomorrow",
        "gcp.gemini",
        "generate_content",
        {
            "promptTokenCount": 10,
            "promptTokensDetails": [{"modality": "SMELL", "tokenCount": 3}],
            "totalTokenCount": 10,
        },
        ("unknown_field:prompt_tokens_details.SMELL",),
    ),
    (
        "converse's total",
        "aws.bedrock",
        "converse",
        {"inputTokens": 1, "outputTokens": 1, "totalTokens": 3},
        ("total_tokens_mismatch",),
    ),
    (
        "converse's writes that no life is told of",
        "aws.bedrock",
        "converse",
        {
            "inputTokens": 1,
            "outputTokens": 1,
            "cacheWriteInputTokens": 9,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 4}],
        },
        ("assumed_cache_ttl:default",),
    ),
    (
        "deepseek's misses",
        "deepseek",
        "chat",
        {
            "prompt_tokens": 10,
            "completion_tokens": 1,
            "total_tokens": 11,
            "prompt_cache_hit_tokens": 4,
            "prompt_cache_miss_tokens": 4,
        },
        ("cached_tokens_mismatch",),
    ),
    (
        "a total that fits neither way",
        "x_ai",
        "chat",
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 99,
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
        ("total_tokens_mismatch",),
    ),
    (
        "a key of one's own at openrouter",
        "openrouter",
        "chat",
        {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "cost": 0.01, "is_byok": True},
        ("byok_fee_only",),
    ),
    (
        "a field of tomorrow",
        "groq",
        "chat",
        {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "dream_tokens": 4},
        ("unknown_field:dream_tokens",),
    ),
    (
        "iterations that do not add up",
        "anthropic",
        "messages",
        {
            "input_tokens": 5,
            "output_tokens": 5,
            "iterations": [{"type": "message", "input_tokens": 1, "output_tokens": 1}],
        },
        ("iterations_mismatch",),
    ),
    (
        "an iteration of tomorrow",
        "anthropic",
        "messages",
        {
            "input_tokens": 5,
            "output_tokens": 5,
            "iterations": [{"type": "dream", "input_tokens": 1, "output_tokens": 1}],
        },
        ("unknown_field:iterations.dream",),
    ),
    (
        "a model of Bedrock that counts nothing",
        "aws.bedrock",
        "invoke_model",
        {"completions": []},
        ("missing_count:usage",),
    ),
    (
        "a body of Bedrock whose count is none, though the headers have it",
        "aws.bedrock",
        "invoke_model",
        {"usage": {"input_tokens": 5, "output_tokens": -1}, "x-amzn-bedrock-input-token-count": "5"},
        ("invalid_count:output_tokens",),
    ),
    ("cohere without what it bills", "cohere", "chat", {"tokens": {}}, ("missing_count:billed_units",)),
    ("speech without a count", "openai", "transcription", {"type": "duration"}, ("missing_count:seconds",)),
]


@pytest.mark.parametrize(("provider", "api", "raw", "flags"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_does_not_add_up_or_is_new_is_flagged(
    provider: str, api: str, raw: dict[str, Any], flags: tuple[str, ...]
) -> None:
    reading = read_usage(raw, api=api, provider=provider)
    assert reading.flags == flags
    assert reading.complete == (not any(flag.startswith(("missing", "invalid_count")) for flag in flags))


EVERY_READER = [(None, api) for api in READERS] + [(provider, api) for provider, api in READERS_BY_PROVIDER]
EVERY_READER += [("groq", api) for api in ("chat", "responses", "embeddings")]
NONSENSE = [None, "12", "", True, -1, 1.5, float("nan"), float("inf"), 10**400, 2**63, [], [1], {}, {"a": 1}, object()]


@pytest.mark.parametrize(("provider", "api"), EVERY_READER, ids=lambda value: str(value))
def test_nonsense_never_raises_and_never_passes_for_a_count(provider: str | None, api: str) -> None:
    reader = reader_of(api, provider)
    real = [raw for _, _, known, raw, _ in CASES if known == api] or [{"usage": {}}]
    for raw in real:
        for name in raw:
            for value in NONSENSE:
                reading = reader.read({**raw, name: value})
                assert isinstance(reading, Reading)
                for quantity in reading.usage.values():
                    assert 0 < quantity <= 2**63 - 1


@pytest.mark.parametrize(
    ("provider", "api", "raw", "cost"),
    [
        ("x_ai", "chat", {"cost_in_usd_ticks": 123_400_000}, "0.01234"),
        ("openrouter", "chat", {"cost": 0.00014}, "0.00014"),
        ("openrouter", "chat", {"cost": "0.1"}, "0.1"),
        ("perplexity", "chat", {"cost": {"input_tokens_cost": 0.1, "total_cost": 0.006}}, "0.006"),
        ("openrouter", "chat", {"cost": -1}, None),
        ("openrouter", "chat", {"cost": float("nan")}, None),
        ("openrouter", "embeddings", {"cost": 2e-7}, "0.0000002"),
        ("groq", "chat", {}, None),
        ("x_ai", "chat", {"cost_in_usd_ticks": "123400000"}, "0.01234"),
        ("x_ai", "chat", {"cost_in_usd_ticks": "many"}, None),
        ("openrouter", "transcription", {"seconds": 3, "cost": 0.5}, "0.5"),
        ("openrouter", "messages", {"input_tokens": 1, "output_tokens": 1, "cost": 0.5}, "0.5"),
    ],
    ids=[
        "xai ticks",
        "openrouter",
        "as text",
        "perplexity",
        "negative",
        "not a number",
        "tiny",
        "none",
        "ticks as text",
        "ticks that are none",
        "of another API",
        "of Anthropic's API",
    ],
)
def test_a_cost_the_provider_states_is_kept_exactly(
    provider: str, api: str, raw: dict[str, Any], cost: str | None
) -> None:
    shape = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    reading = read_usage({**shape, **raw}, api=api, provider=provider)
    assert reading.provider_cost == cost
    assert reading.complete
    unread = cost is None and any(name.startswith("cost") for name in raw)
    assert [flag for flag in reading.flags if "cost" in flag] == ([f"invalid_cost:{next(iter(raw))}"] if unread else [])


BODIES: list[tuple[str, str, str, dict[str, Any], dict[str, Any], str | None]] = [
    (
        "gemini grounded by several searches",
        "gcp.gemini",
        "generate_content",
        {
            "usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 1, "trafficType": "ON_DEMAND_PRIORITY"},
            "modelVersion": "gemini-3-flash",
            "candidates": [
                {"groundingMetadata": {"webSearchQueries": ["a", "b", ""], "groundingChunks": [{"maps": {}}]}}
            ],
        },
        {"input": 1, "tool_web_search": 2, "tool_maps_search": 1},
        "priority",
    ),
    (
        "an older gemini bills the prompt, not the search",
        "gcp.gemini",
        "generate_content",
        {
            "usage_metadata": {"prompt_token_count": 1, "total_token_count": 1},
            "model_version": "gemini-2.5-flash",
            "candidates": [{"grounding_metadata": {"web_search_queries": ["a", "b"]}}],
        },
        {"input": 1, "tool_web_search": 1},
        None,
    ),
    (
        "converse on a tier, with guardrails",
        "aws.bedrock",
        "converse",
        {
            "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
            "serviceTier": {"type": "flex"},
            "trace": {
                "guardrail": {
                    "inputAssessment": {
                        "g": {"invocationMetrics": {"usage": {"topicPolicyUnits": 1, "wordPolicyUnits": 2}}}
                    },
                    "outputAssessments": {"g": [{"invocationMetrics": {"usage": {"contentPolicyUnits": 1}}}]},
                }
            },
        },
        {"input": 1, "output": 2, "tool_guardrail_topic": 1, "tool_guardrail_content": 1},
        "flex",
    ),
    (
        "an image drawn as SVG by another model",
        "openai",
        "images",
        {
            "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
            "svg_usage": {
                "model": "gpt-5",
                "input_tokens": 9,
                "output_tokens": 8,
                "reasoning_tokens": 3,
                "total_tokens": 17,
            },
        },
        {"input": 1, "output_image": 2, "gpt-5/input": 9, "gpt-5/output": 5, "gpt-5/output_reasoning": 3},
        None,
    ),
    (
        "a line of a batch's results",
        "openai",
        "batch",
        {"response": {"body": {"usage": {"prompt_tokens": 3, "completion_tokens": 1}, "service_tier": "default"}}},
        {"input": 3, "output": 1},
        "batch",
    ),
    (
        "a line of Anthropic's batch",
        "anthropic",
        "batch",
        {
            "result": {
                "type": "succeeded",
                "message": {"usage": {"input_tokens": 3, "output_tokens": 1, "cache_creation": None}},
            }
        },
        {"input": 3, "output": 1},
        "batch",
    ),
    ("a line that failed", "anthropic", "batch", {"result": {"type": "errored"}}, {}, None),
    (
        "a line of somebody else's batch, in the shape of OpenAI's",
        "mistral_ai",
        "batch",
        {"response": {"body": {"usage": {"prompt_tokens": 30, "completion_tokens": 1, "num_cached_tokens": 20}}}},
        {"input": 10, "input_cache_read": 20, "output": 1},
        "batch",
    ),
    (
        "a line of a batch of Gemini's embeddings",
        "gcp.gemini",
        "batch",
        {"key": "a", "response": {"embedding": {"values": []}, "tokenCount": "12"}},
        {"input": 12},
        "batch",
    ),
    (
        "invoke_model on a tier, by its headers, with guardrails",
        "aws.bedrock",
        "invoke_model",
        {
            "usage": {"input_tokens": 5, "output_tokens": 6},
            "x-amzn-bedrock-service-tier": "flex",
            "amazon-bedrock-trace": {
                "guardrail": {
                    "input": {"g": {"invocationMetrics": {"usage": {"topicPolicyUnits": 1, "wordPolicyUnits": 4}}}},
                    "outputs": [{"g": {"invocationMetrics": {"usage": {"contextualGroundingPolicyUnits": 2}}}}],
                }
            },
        },
        {"input": 5, "output": 6, "tool_guardrail_topic": 1, "tool_guardrail_grounding": 2},
        "flex",
    ),
    (
        "the tier that Mistral says in the usage",
        "mistral_ai",
        "chat",
        {"usage": {"prompt_tokens": 3, "completion_tokens": 1, "service_tier": "priority"}},
        {"input": 3, "output": 1},
        "priority",
    ),
]


@pytest.mark.parametrize(
    ("provider", "api", "body", "usage", "tier"), [b[1:] for b in BODIES], ids=[b[0] for b in BODIES]
)
def test_a_whole_response_says_what_else_is_billed(
    provider: str, api: str, body: dict[str, Any], usage: dict[str, Any], tier: str | None
) -> None:
    reading = read_usage(body, api=api, provider=provider)
    assert (reading.usage, reading.service_tier) == (usage, tier)
    view = read_response(body, api=api, provider=provider)
    assert view.reading == reading


COUNT = st.integers(0, 10**9)


def _sums(reading: Reading) -> tuple[int, int]:
    sides = {"input": 0, "output": 0}
    for meter, quantity in reading.usage.items():
        side = direction_of(meter)
        if side is not None:
            sides[side] += int(quantity)
    return sides["input"], sides["output"]


@given(COUNT, COUNT, COUNT, COUNT, COUNT)
def test_gemini_input_and_output_are_all_there_once(
    fresh: int, cached: int, tool: int, said: int, thought: int
) -> None:
    raw = {
        "promptTokenCount": fresh + cached,
        "cachedContentTokenCount": cached,
        "toolUsePromptTokenCount": tool,
        "candidatesTokenCount": said,
        "thoughtsTokenCount": thought,
        "totalTokenCount": fresh + cached + tool + said + thought,
    }
    reading = read_usage(raw, api="generate_content")
    assert (_sums(reading), reading.flags) == ((fresh + cached + tool, said + thought), ())


@given(COUNT, COUNT, COUNT, COUNT)
def test_converse_input_and_output_are_all_there_once(fresh: int, read: int, written: int, said: int) -> None:
    raw = {
        "inputTokens": fresh,
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": written,
        "outputTokens": said,
        "totalTokens": fresh + read + written + said,
    }
    reading = read_usage(raw, api="converse")
    assert (_sums(reading), reading.flags) == ((fresh + read + written, said), ())


@given(COUNT, COUNT, COUNT, COUNT, st.booleans())
def test_compatible_reasoning_is_counted_once_wherever_it_stands(
    fresh: int, cached: int, said: int, thought: int, on_top: bool
) -> None:
    completion = said if on_top else said + thought
    raw = {
        "prompt_tokens": fresh + cached,
        "completion_tokens": completion,
        "total_tokens": fresh + cached + said + thought,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
    reading = read_usage(raw, api="chat", provider="x_ai")
    assert (_sums(reading), reading.flags) == ((fresh + cached, said + thought), ())
