"""Providers that have nothing of their own but names and places: a row each.

They answer in OpenAI's shape (`_compatible.py`). One that counts something in its own way gets a file beside this one.

Names, here and there, were read in litellm 1.110 (`LlmProviders`), langchain 1.5 and langchain-openai 1.7, pydantic-ai
2.68, semantic-kernel 1.45, openinference-semantic-conventions 0.1.42, openlit 1.45, the Vercel AI SDK's and Spring AI's
spans, and genai-prices 0.2.3; hosts in the clients themselves.
"""

from __future__ import annotations

from aicost.usage.provider import Provider

PROVIDERS = (
    Provider("deepseek", aliases=("deepseek_ai", "deep_seek"), hosts=("api.deepseek.com",),
             models=r"deepseek-(?:chat|reasoner)"),
    Provider("groq", aliases=("groqcloud", "groq_cloud"), hosts=("api.groq.com",), default_tiers=("on_demand",)),
    Provider("ibm.watsonx.ai", aliases=("watsonx", "watsonx_ai", "watsonx_text", "ibm", "ibm_watson_ai", "ibm_watsonx"),
             hosts=("*.ml.cloud.ibm.com",)),
    Provider("perplexity", aliases=("perplexity_ai", "pplx"), hosts=("api.perplexity.ai",)),
    Provider("x_ai", aliases=("xai", "grok"), hosts=("api.x.ai", "*.api.x.ai"), models=r"grok-"),
    Provider("together", aliases=("togetherai", "together_ai"), hosts=("api.together.ai", "api.together.xyz")),
    Provider(
        "fireworks",
        aliases=("fireworksai", "fireworks_ai", "fireworks_ai_embedding_models"),
        hosts=("api.fireworks.ai",),
        model_prefixes=("accounts/fireworks/models/",),
    ),
    Provider("moonshot", aliases=("moonshotai", "moonshot_ai", "kimi"), hosts=("api.moonshot.ai", "api.moonshot.cn")),
    Provider("ai21", aliases=("ai21_chat", "ai21_labs"), hosts=("api.ai21.com",)),
    Provider("aiml", hosts=("api.aimlapi.com",)),
    Provider("aihubmix", hosts=("aihubmix.com",)),
    Provider("baseten", hosts=("inference.baseten.co",)),
    Provider("cerebras", hosts=("api.cerebras.ai",)),
    Provider("cloudflare", aliases=("cloudflare_workers_ai", "workers_ai"), hosts=("api.cloudflare.com",),
             response_headers={"cf-aig-log-id": "gateway_call_id", "cf-aig-cache-status": "cache"}),
    Provider("crusoe", hosts=("api.inference.crusoecloud.com",)),
    Provider("dashscope", aliases=("alibaba", "alibaba_cloud"),
             hosts=("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com")),
    Provider("databricks", hosts=("*.databricks.com", "*.azuredatabricks.net")),
    Provider("deepinfra", hosts=("api.deepinfra.com",)),
    Provider("elevenlabs", hosts=("api.elevenlabs.io",)),
    Provider("friendliai", aliases=("friendli",), hosts=("api.friendli.ai",)),
    Provider("github_copilot", hosts=("api.githubcopilot.com", "*.githubcopilot.com")),
    Provider("gmi", hosts=("api.gmi-serving.com",)),
    Provider("heroku", hosts=("*.inference.heroku.com",)),
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
    Provider("openrouter", aliases=("open_router",), hosts=("openrouter.ai",),
             response_headers={"x-openrouter-cache-status": "cache"}),
    Provider("ovhcloud", hosts=("oai.endpoints.kepler.ai.cloud.ovh.net",)),
    Provider("publicai", hosts=("api.publicai.co",)),
    Provider("replicate", hosts=("api.replicate.com",)),
    Provider("sambanova", hosts=("api.sambanova.ai",)),
    Provider("scaleway", hosts=("api.scaleway.ai",)),
    Provider("snowflake", aliases=("snowflake_cortex",), hosts=("*.snowflakecomputing.com",)),
    Provider("vercel_ai_gateway", aliases=("vercel", "gateway"), hosts=("ai-gateway.vercel.sh",)),
    Provider("wandb", hosts=("api.inference.wandb.ai",)),
    Provider("zai", aliases=("z_ai",), hosts=("api.z.ai",)),
    Provider("zhipuai", aliases=("zhipu",), hosts=("open.bigmodel.cn",)),
    Provider("lm_studio", aliases=("lmstudio",), ports=(1234,), weak_ids=True),
    Provider("vllm", aliases=("hosted_vllm",), ports=(8000,)),
    Provider("sglang", ports=(30000,)),
    Provider("llama_cpp", aliases=("llamacpp", "llamafile")),
    Provider("localai"),
    Provider("docker_model_runner"),
    Provider("tgi", aliases=("text_generation_inference",)),
    Provider("litellm_proxy",
             response_headers={"x-litellm-call-id": "gateway_call_id", "x-litellm-cache-key": "cache_key"}),
    # Gateways that number responses by the second where the provider behind them gives no id (relay/adaptor in both).
    Provider("one_api", weak_ids=True),
    Provider("new_api", aliases=("newapi",), weak_ids=True),
)  # fmt: skip
