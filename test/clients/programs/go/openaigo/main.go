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
	lines.Do(ask, func(err error) int {
		var refused *openai.Error
		if errors.As(err, &refused) {
			return refused.StatusCode
		}
		return 0
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
