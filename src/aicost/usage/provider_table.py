"""The providers: every name, host, tier and habit that tells one from another. Data only; `providers.py` asks it.

A new provider, or another spelling of one, is a row here and nowhere else (`tests/usage/test_provider_table.py` holds
every other file to that). Names were read in litellm 1.110 (`LlmProviders`), langchain 1.5 and langchain-openai 1.7,
pydantic-ai 2.68, semantic-kernel 1.45, openinference-semantic-conventions 0.1.42, openlit 1.45, the Vercel AI SDK's and
Spring AI's spans, and genai-prices 0.2.3; hosts in the clients themselves.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Provider:
    """One who sends a bill of its own.

    Names are compared as words: in lower case, with every other sign taken for `_`. So `aliases` need only one
    spelling of `azure-openai`, `azure.openai` and `Azure OpenAI`.
    """

    name: str
    """As events and rate cards have it: OpenTelemetry's `gen_ai.provider.name` where there is one."""
    aliases: tuple[str, ...] = ()
    """What clients, frameworks, spans, gateways and price lists call it, and nobody else."""
    loosely: tuple[str, ...] = ()
    """What some call it and others beside it. The first row that has such a name is the one it is priced as."""
    begin: tuple[str, ...] = ()
    """How names begin that all mean it: litellm has one for each of Vertex AI's families of models."""
    hosts: tuple[str, ...] = ()
    """Where it answers; one `*` is any part of a name."""
    ports: tuple[int, ...] = ()
    """Where its server listens on one's own machine, unless it is told otherwise."""
    default_tiers: tuple[str, ...] = ()
    """Its own words for its default service tier, beside those that everybody uses."""
    no_regions: tuple[str, ...] = ()
    """Places that cost what no place in particular costs, beside those of everybody."""
    model_prefixes: tuple[str, ...] = ()
    """What the names of its models begin with in full, and often without."""
    profiles: tuple[str, ...] = ()
    """How a model's name begins that says where it is served, so that the region called changes nothing."""
    routes: tuple[str, ...] = ()
    """Those it passes calls on to, each at a price of its own: the provider `{name}_{route}`."""
    priced_with: tuple[str, ...] = ()
    """Whose price lists hold as well for what it serves and its own list lacks: the same seller's."""
    gateway: bool = False
    """Whether it passes calls on to others."""
    weak_ids: bool = False
    """Whether the ids of its responses come again, so that they are evidence of nothing."""
    free: bool = False
    """Whether it is software of one's own, which costs nothing by the token."""


_HUGGINGFACE_ROUTES = (
    "baseten", "cerebras", "cohere", "deepinfra", "fal_ai", "featherless_ai", "fireworks_ai", "groq", "hyperbolic",
    "nebius", "novita", "nscale", "ovhcloud", "publicai", "replicate", "sambanova", "scaleway", "together",
    "wavespeed", "zai_org",
)  # fmt: skip
"""Read in huggingface_hub 2.4 (`inference/_providers/`), and those of 1.0 that have gone since."""

PROVIDERS: tuple[Provider, ...] = (
    Provider("openai", aliases=("text_completion_openai",), hosts=("*.openai.com",)),
    Provider(
        "azure.ai.openai",
        aliases=("azure_openai", "azureopenai", "azure_text", "az_ai_openai", "azure_ai_foundry_openai"),
        loosely=("azure",),
        hosts=("*.openai.azure.com", "*.cognitiveservices.azure.com", "*.services.ai.azure.com"),
        no_regions=("global_standard",),
        priced_with=("azure.ai.inference",),
    ),
    Provider(
        "azure.ai.inference",
        aliases=("azure_ai", "az_ai_inference", "azure_ai_inference", "azureaiinference", "azure_ai_foundry",
                 "foundry", "azure_foundry"),
        loosely=("azure",),
        hosts=("*.models.ai.azure.com",),
        no_regions=("global_standard",),
        priced_with=("azure.ai.openai",),
    ),
    Provider("anthropic", aliases=("anthropic_text", "claude"), hosts=("api.anthropic.com",),
             no_regions=("not_available",)),
    Provider(
        "gcp.gemini",
        aliases=("gemini", "google_gla", "google_ai", "googleai", "google_ai_studio", "generativelanguage"),
        loosely=("google", "gcp_gen_ai", "gcp_vertex_agent", "google_genai", "googlegenai", "genai", "gcp",
                 "google_generative_ai", "googlegenerativeai"),
        hosts=("generativelanguage.googleapis.com",),
        default_tiers=("on_demand", "unspecified", "traffic_type_unspecified"),
    ),
    Provider(
        "gcp.vertex_ai",
        aliases=("vertex", "vertex_ai", "vertexai", "google_vertex", "google_vertexai", "google_vertex_ai",
                 "googlevertexai", "gcp_vertex", "google_cloud", "google_anthropic_vertex", "vertex_anthropic",
                 "google_vertex_anthropic"),
        loosely=("google", "gcp_gen_ai", "gcp_vertex_agent", "google_genai", "googlegenai", "genai", "gcp",
                 "google_generative_ai", "googlegenerativeai"),
        begin=("vertex_ai_",),
        hosts=("aiplatform.googleapis.com", "*-aiplatform.googleapis.com", "aiplatform.*.rep.googleapis.com"),
        default_tiers=("on_demand", "unspecified", "traffic_type_unspecified"),
    ),
    Provider(
        "aws.bedrock",
        aliases=("bedrock_converse", "amazon_bedrock", "amazonbedrock", "bedrockconverse", "anthropic_bedrock",
                 "amazon_bedrock_anthropic"),
        loosely=("bedrock", "aws", "amazon"),
        hosts=("*.amazonaws.com", "*.amazonaws.com.cn", "*.api.aws"),
        # List prices are those of the first regions of the USA.
        no_regions=("us_east_1", "us_east_2", "us_west_2"),
        profiles=("us.", "us-gov.", "eu.", "apac.", "jp.", "au.", "ca.", "global."),
    ),
    Provider(
        "bedrock_mantle",
        aliases=("openai_mantle", "anthropic_mantle", "bedrock_mantle_openai", "bedrock_mantle_anthropic"),
        loosely=("bedrock", "aws", "amazon", "aws_bedrock"),
        hosts=("bedrock-mantle.*.api.aws",),
        no_regions=("us_east_1", "us_east_2", "us_west_2"),
        profiles=("us.", "us-gov.", "eu.", "apac.", "jp.", "au.", "ca.", "global."),
        priced_with=("aws.bedrock",),
    ),
    Provider("cohere", aliases=("cohere_chat", "cohere_ai"), hosts=("api.cohere.com", "api.cohere.ai")),
    Provider("deepseek", aliases=("deepseek_ai", "deep_seek"), hosts=("api.deepseek.com",)),
    Provider("groq", aliases=("groqcloud", "groq_cloud"), hosts=("api.groq.com",), default_tiers=("on_demand",)),
    Provider("ibm.watsonx.ai", aliases=("watsonx", "watsonx_ai", "watsonx_text", "ibm", "ibm_watson_ai", "ibm_watsonx"),
             hosts=("*.ml.cloud.ibm.com",)),
    Provider(
        "mistral_ai",
        aliases=("mistral", "mistralai", "codestral", "text_completion_codestral"),
        hosts=("api.mistral.ai", "codestral.mistral.ai"),
    ),
    Provider("perplexity", aliases=("perplexity_ai", "pplx"), hosts=("api.perplexity.ai",)),
    Provider("x_ai", aliases=("xai", "grok"), hosts=("api.x.ai", "*.api.x.ai")),
    Provider("together", aliases=("togetherai", "together_ai"), hosts=("api.together.ai", "api.together.xyz")),
    Provider(
        "fireworks",
        aliases=("fireworksai", "fireworks_ai", "fireworks_ai_embedding_models"),
        hosts=("api.fireworks.ai",),
        model_prefixes=("accounts/fireworks/models/",),
    ),
    Provider("moonshot", aliases=("moonshotai", "moonshot_ai", "kimi"), hosts=("api.moonshot.ai", "api.moonshot.cn")),
    Provider("voyage", aliases=("voyageai", "voyage_ai"), hosts=("api.voyageai.com",)),
    Provider("ai21", aliases=("ai21_chat", "ai21_labs"), hosts=("api.ai21.com",)),
    Provider("aiml", hosts=("api.aimlapi.com",), gateway=True),
    Provider("aihubmix", hosts=("aihubmix.com",), gateway=True),
    Provider("baseten", hosts=("inference.baseten.co",)),
    Provider("cerebras", hosts=("api.cerebras.ai",)),
    Provider("cloudflare", aliases=("cloudflare_workers_ai", "workers_ai"), hosts=("api.cloudflare.com",)),
    Provider("crusoe", hosts=("api.inference.crusoecloud.com",)),
    Provider("dashscope", aliases=("alibaba", "alibaba_cloud"),
             hosts=("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com")),
    Provider("databricks", hosts=("*.databricks.com", "*.azuredatabricks.net")),
    Provider("deepinfra", hosts=("api.deepinfra.com",)),
    Provider("elevenlabs", hosts=("api.elevenlabs.io",)),
    Provider("friendliai", aliases=("friendli",), hosts=("api.friendli.ai",)),
    Provider("github_copilot", hosts=("api.githubcopilot.com", "*.githubcopilot.com"), gateway=True),
    Provider("gmi", hosts=("api.gmi-serving.com",)),
    Provider("heroku", hosts=("*.inference.heroku.com",), gateway=True),
    Provider(
        "huggingface",
        aliases=("hugging_face", "hf", "hf_inference"),
        hosts=("router.huggingface.co", "api-inference.huggingface.co", "*.endpoints.huggingface.cloud"),
        routes=_HUGGINGFACE_ROUTES,
        gateway=True,
    ),
    Provider("hyperbolic", hosts=("api.hyperbolic.xyz",)),
    Provider("inception", hosts=("api.inceptionlabs.ai",)),
    Provider("jina_ai", aliases=("jina",), hosts=("api.jina.ai",)),
    Provider("lambda_ai", hosts=("api.lambda.ai",)),
    Provider("meta", aliases=("meta_llama_api",), hosts=("api.meta.ai", "api.llama.com")),
    Provider("minimax", hosts=("api.minimax.io", "api.minimaxi.com", "api.minimax.chat")),
    Provider("nebius", hosts=("api.studio.nebius.com", "api.studio.nebius.ai", "api.tokenfactory.nebius.com")),
    Provider("novita", hosts=("api.novita.ai",)),
    Provider("nscale", hosts=("inference.api.nscale.com",)),
    Provider("oci", aliases=("oracle", "oci_genai"), hosts=("*.oci.oraclecloud.com",)),
    Provider("openrouter", aliases=("open_router",), hosts=("openrouter.ai",), gateway=True),
    Provider("ovhcloud", hosts=("oai.endpoints.kepler.ai.cloud.ovh.net",)),
    Provider("publicai", hosts=("api.publicai.co",)),
    Provider("replicate", hosts=("api.replicate.com",)),
    Provider("sambanova", hosts=("api.sambanova.ai",)),
    Provider("scaleway", hosts=("api.scaleway.ai",)),
    Provider("snowflake", aliases=("snowflake_cortex",), hosts=("*.snowflakecomputing.com",)),
    Provider("vercel_ai_gateway", aliases=("vercel", "gateway"), hosts=("ai-gateway.vercel.sh",), gateway=True),
    Provider("wandb", hosts=("api.inference.wandb.ai",)),
    Provider("zai", aliases=("z_ai",), hosts=("api.z.ai",)),
    Provider("zhipuai", aliases=("zhipu",), hosts=("open.bigmodel.cn",)),
    # Its server's OpenAI endpoint draws `chatcmpl-0` to `chatcmpl-998` (openai/openai.go).
    Provider("ollama", aliases=("ollama_chat", "chatollama"), ports=(11434,), weak_ids=True, free=True),
    Provider("lm_studio", aliases=("lmstudio",), ports=(1234,), weak_ids=True, free=True),
    Provider("vllm", aliases=("hosted_vllm",), ports=(8000,), free=True),
    Provider("sglang", ports=(30000,), free=True),
    Provider("llama_cpp", aliases=("llamacpp", "llamafile"), free=True),
    Provider("localai", free=True),
    Provider("docker_model_runner", free=True),
    Provider("tgi", aliases=("text_generation_inference",), free=True),
    Provider("litellm_proxy", gateway=True),
    # Gateways that number responses by the second where the provider behind them gives no id (relay/adaptor in both).
    Provider("one_api", gateway=True, weak_ids=True),
    Provider("new_api", aliases=("newapi",), gateway=True, weak_ids=True),
)  # fmt: skip

NOBODY = frozenset({
    "", "none", "unknown", "other", "custom", "ai", "langchain", "langgraph", "llamaindex", "llama_index", "strands",
    "strands_agents", "crewai", "haystack", "dspy", "autogen", "ag2", "agno", "smolagents", "pydantic_ai",
    "openai_agents", "google_adk", "claude_agent_sdk", "agent_framework", "microsoft_agent_framework",
    "semantic_kernel", "spring_ai", "litellm", "browser_use", "mem0", "letta", "mcp", "openai_like", "openailike",
    "custom_openai", "aiohttp_openai",
})  # fmt: skip
"""What frameworks write where a provider's name belongs: their own, that they know none, or whose API it speaks."""

APIS = frozenset({
    "chat", "responses", "completion", "completions", "embedding", "embeddings", "messages", "image", "speech",
    "transcription", "textembedding", "text_embedding", "rerank", "reranking",
})  # fmt: skip
"""What the Vercel AI SDK appends to a provider's name: `openai.chat`."""

DEFAULT_TIERS = frozenset({"default", "standard", "auto"})
"""Everybody's words for the default service tier."""

NO_REGIONS = frozenset({"global"})
"""Everybody's words for no place in particular."""

FIRST_PARTIES: tuple[tuple[str, str], ...] = (
    (r"(?:[a-z-]+\.)?(?:anthropic|amazon|meta|mistral|cohere|deepseek|openai|qwen)\.", "aws.bedrock"),
    (r"gpt-|chatgpt-|o[1-9](?:-|$)|text-embedding-(?:3|ada)|codex-", "openai"),
    (r"claude-", "anthropic"),
    (r"gemini-", "gcp.gemini"),
    (r"command-|rerank-v|embed-v", "cohere"),
    (r"(?:mistral|ministral|codestral|magistral|pixtral|devstral)-", "mistral_ai"),
    (r"deepseek-(?:chat|reasoner)", "deepseek"),
    (r"grok-", "x_ai"),
)
"""Whose models are called like that, where nobody says who serves them."""
