// SPDX-License-Identifier: GPL-2.0-or-later
// Five calls with the generated client: status, add a rule, list rules, ask why, remove the rule.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"example.org/five/xdpctl"
)

func check[T any](value T, _ any, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func main() {
	settings := xdpctl.NewConfiguration()
	settings.Servers = xdpctl.ServerConfigurations{{URL: os.Args[1]}}
	settings.AddDefaultHeader("Authorization", "Bearer "+os.Args[2])
	client, ctx := xdpctl.NewAPIClient(settings), context.Background()

	status := check(client.SystemAPI.ReadStatus(ctx).Execute())
	source := "203.0.113.0/24"
	components := xdpctl.MatchIn{Source: *xdpctl.NewNullableString(&source)}
	rule := xdpctl.NewRuleIn(xdpctl.RuleInMatch{MatchIn: &components})
	rule.SetReason("five calls")
	added := check(client.RulesAPI.AddRule(ctx).RuleIn(*rule).Execute())
	page := check(client.RulesAPI.ListRules(ctx).Within(source).Execute())
	why := check(client.ExplainAPI.Why(ctx, "203.0.113.7").Execute())
	removed := check(client.RulesAPI.RemoveRule(ctx, added.Id).Execute())

	listed := []string{}
	for _, each := range page.Rules {
		listed = append(listed, each.Reason)
	}
	text, _ := json.Marshal(map[string]any{
		"rules": status.Rules.Total, "added": added.Id, "listed": listed,
		"why": why.Sentence, "removed": removed.Id,
	})
	fmt.Println(string(text))
}
