// openai-go as its README shows it.
package main

import (
	"context"
	"errors"

	"clients/lines"
	"github.com/openai/openai-go/v3"
)

func main() {
	client := openai.NewClient()
	ask := func(job lines.Job) error { return ask(&client, job) }
	lines.Do(ask, func(err error) lines.Failure {
		var refused *openai.Error
		if errors.As(err, &refused) {
			// Its Error() leaves out what the service said; the field has it.
			return lines.Failure{Kind: "openai.Error", Status: refused.StatusCode, Message: refused.Message}
		}
		return lines.Of(err)
	})
}

func ask(client *openai.Client, job lines.Job) error {
	params := openai.ChatCompletionNewParams{
		Model:    "a-model",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(job.Prompt)},
	}
	if !job.Stream {
		answer, err := client.Chat.Completions.New(context.Background(), params)
		if err != nil {
			return err
		}
		lines.Text(answer.Choices[0].Message.Content)
		return nil
	}
	chunks := client.Chat.Completions.NewStreaming(context.Background(), params)
	text := ""
	for chunks.Next() {
		lines.Event()
		for _, choice := range chunks.Current().Choices {
			text += choice.Delta.Content
		}
	}
	if err := chunks.Err(); err != nil {
		return err
	}
	lines.Text(text)
	return nil
}
