// Go's net/http as its documentation shows it.
package main

import (
	"bufio"
	"net/http"
	"strings"

	"clients/lines"
)

func main() {
	lines.Do(post, lines.Of)
}

func post(job lines.Job) error {
	answer, err := http.Post(job.URL, "application/json", strings.NewReader(job.Body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var text strings.Builder
	parts := bufio.NewScanner(answer.Body)
	for parts.Scan() {
		if strings.HasPrefix(parts.Text(), "data:") {
			lines.Event()
		}
		text.WriteString(parts.Text() + "\n")
	}
	if err := parts.Err(); err != nil {
		return err
	}
	lines.HTTP(answer.StatusCode, answer.ProtoMajor, text.String())
	return nil
}
