// Java's HttpClient as its documentation shows it; the line protocol is that of session.ts.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.Authenticator;
import java.net.PasswordAuthentication;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

class Ask {
  public static void main(String[] args) throws Exception {
    var login = System.getenv("PROXY_LOGIN").split(":", 2);
    var client =
        HttpClient.newBuilder()
            .proxy(ProxySelector.getDefault())
            .authenticator(
                new Authenticator() {
                  @Override
                  protected PasswordAuthentication getPasswordAuthentication() {
                    return new PasswordAuthentication(login[0], login[1].toCharArray());
                  }
                })
            .build();
    var input = new BufferedReader(new InputStreamReader(System.in));
    for (var line = input.readLine(); line != null; line = input.readLine()) {
      var fields = line.split("\t", -1);
      var request =
          HttpRequest.newBuilder(URI.create(fields[2]))
              .header("content-type", "application/json")
              .POST(HttpRequest.BodyPublishers.ofString(decoded(fields[4])))
              .build();
      try {
        var answer = client.send(request, BodyHandlers.ofLines());
        var text = new StringBuilder();
        answer
            .body()
            .forEach(
                part -> {
                  if (part.startsWith("data:")) say("event");
                  text.append(part).append('\n');
                });
        var version = answer.version() == HttpClient.Version.HTTP_2 ? "h2" : "h1";
        say("http", String.valueOf(answer.statusCode()), version, encoded(text.toString()));
      } catch (Exception error) {
        say("fail", error.getClass().getSimpleName(), "", encoded(String.valueOf(error.getMessage())));
      }
    }
  }

  static void say(String... fields) {
    System.out.println(String.join("\t", fields));
    System.out.flush();
  }

  static String encoded(String text) {
    return Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8));
  }

  static String decoded(String text) {
    return new String(Base64.getDecoder().decode(text), StandardCharsets.UTF_8);
  }
}
