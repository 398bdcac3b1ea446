package main

import (
	"context"
	"time"

	"google.golang.org/grpc/status"
)

// batch is a sequence of calls, made one after the other.
type batch struct {
	Calls []call `json:"calls"`
	// Want asks for what the calls returned, which costs memory.
	Want bool `json:"want"`
}

// call is one call. What Other means depends on Op: the parent for prepare and view,
// the new name for commit, the value of a label for update.
type call struct {
	Op     string            `json:"op"`
	Key    string            `json:"key"`
	Other  string            `json:"other"`
	Labels map[string]string `json:"labels"`
}

// answer says how a batch went. It stops at the first call that fails, so Ns and
// Results are shorter than the batch then, and Failure is set.
type answer struct {
	Ns      []int64  `json:"ns"`
	Results []any    `json:"results,omitempty"`
	Failure *failure `json:"failure,omitempty"`
}

type failure struct {
	Index   int    `json:"index"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// run makes the calls of a batch; only the calls themselves are timed.
func (c *client) run(ctx context.Context, batch batch) answer {
	answer := answer{Ns: make([]int64, 0, len(batch.Calls))}
	for index, call := range batch.Calls {
		act, err := c.prepared(call)
		if err != nil {
			answer.Failure = failureOf(index, err)
			return answer
		}
		begin := time.Now()
		result, err := act(ctx)
		elapsed := time.Since(begin)
		if err != nil {
			answer.Failure = failureOf(index, err)
			return answer
		}
		answer.Ns = append(answer.Ns, elapsed.Nanoseconds())
		if batch.Want {
			answer.Results = append(answer.Results, result)
		}
	}
	return answer
}

func failureOf(index int, err error) *failure {
	return &failure{Index: index, Code: status.Code(err).String(), Message: err.Error()}
}
