// Spring AI with its own observations, as spans through Micrometer's bridge to OpenTelemetry.
package recorded;

import io.micrometer.observation.ObservationRegistry;
import java.util.Map;
import org.springframework.ai.anthropic.AnthropicChatModel;
import org.springframework.ai.anthropic.AnthropicChatOptions;
import org.springframework.ai.chat.client.ChatClient;
import org.springframework.ai.chat.prompt.ChatOptions;
import org.springframework.ai.chat.prompt.Prompt;
import org.springframework.ai.embedding.EmbeddingModel;
import org.springframework.ai.openai.OpenAiChatModel;
import org.springframework.ai.openai.OpenAiChatOptions;
import org.springframework.ai.tool.annotation.Tool;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;

@EnableAutoConfiguration
public class Door {
  public static class Tools {
    @Tool(description = "Search")
    public String search(String query) {
      return "Much.";
    }
  }

  static OpenAiChatOptions.Builder gpt(String model) {
    return OpenAiChatOptions.builder().model(model);
  }

  static ChatOptions claude(String model) {
    return AnthropicChatOptions.builder().model(model).build();
  }

  static Prompt prompt(String words, ChatOptions options) {
    return new Prompt(words, options);
  }

  public static void main(String[] args) {
    Map<String, Object> settings = Map.of(
        "spring.application.name", "recorded",
        "spring.main.banner-mode", "off",
        "spring.ai.openai.base-url", System.getenv("OPENAI_BASE_URL"),
        "spring.ai.openai.api-key", "test",
        "spring.ai.openai.embedding.model", "text-embedding-3-small",
        "spring.ai.anthropic.base-url", System.getenv("ANTHROPIC_BASE_URL"),
        "spring.ai.anthropic.api-key", "test",
        "management.tracing.sampling.probability", "1.0",
        "management.otlp.metrics.export.enabled", "false",
        "management.opentelemetry.tracing.export.otlp.endpoint",
            System.getenv("OTEL_EXPORTER_OTLP_ENDPOINT") + "/v1/traces");
    var builder = new SpringApplicationBuilder(Door.class).web(WebApplicationType.NONE).properties(settings);
    try (var context = builder.run(args)) {
      var openai = context.getBean(OpenAiChatModel.class);
      var anthropic = context.getBean(AnthropicChatModel.class);
      var client = ChatClient.create(openai, context.getBean(ObservationRegistry.class));

      openai.call(prompt("plain question", gpt("gpt-4o").build()));
      openai.call(prompt("cached question", gpt("gpt-4o").build()));
      openai.call(prompt("hard question", gpt("o3").build()));
      openai.stream(prompt("streamed question", gpt("gpt-4.1").build())).blockLast();
      openai.stream(prompt("streamed question", gpt("gpt-4o").streamUsage(true).build())).blockLast();
      anthropic.call(prompt("plain question", claude("claude-sonnet-4-5")));
      anthropic.call(prompt("written question", claude("claude-sonnet-4-5")));
      anthropic.stream(prompt("streamed question", claude("claude-haiku-4-5"))).blockLast();
      client.prompt("cached question").options(gpt("gpt-4o")).call().content();
      client.prompt("tool question").options(gpt("gpt-4o")).tools(new Tools()).call().content();
      context.getBean(EmbeddingModel.class).embed("plain question");
      try {
        openai.call(prompt("bad question", gpt("gpt-4o").build()));
      } catch (RuntimeException refused) {
        // As asked.
      }
    }
    System.exit(0); // The clients' threads would idle for a minute.
  }
}
