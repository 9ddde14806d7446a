// Package lines is the line protocol of session.ts.
package lines

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
)

// Job is what the program is asked to do.
type Job struct {
	Stream            bool
	URL, Prompt, Body string
}

// Event says that an event of the stream has come.
func Event() { fmt.Println("event") }

// Text gives an SDK's answer.
func Text(text string) { say("text", "", encoded(text)) }

// HTTP gives a plain client's answer.
func HTTP(status, major int, body string) {
	say("http", fmt.Sprint(status), fmt.Sprintf("h%d", major), encoded(body))
}

// Failure is what a client says of an error; Status is 0 where there was no answer.
type Failure struct {
	Kind    string
	Status  int
	Message string
}

// Of gives what any error says.
func Of(err error) Failure {
	return Failure{strings.TrimPrefix(fmt.Sprintf("%T", err), "*"), 0, err.Error()}
}

// Do does the jobs as they come.
func Do(work func(Job) error, failure func(error) Failure) {
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<24)
	for input.Scan() {
		fields := strings.Split(input.Text(), "\t")
		job := Job{fields[1] == "1", fields[2], decoded(fields[3]), decoded(fields[4])}
		if err := work(job); err != nil {
			said := failure(err)
			say("fail", said.Kind, fmt.Sprint(said.Status), encoded(said.Message))
		}
	}
}

func say(fields ...string) { fmt.Println(strings.Join(fields, "\t")) }

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func decoded(text string) string {
	plain, _ := base64.StdEncoding.DecodeString(text)
	return string(plain)
}
