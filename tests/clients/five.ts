// SPDX-License-Identifier: GPL-2.0-or-later
// Five calls with the generated client: status, add a rule, list rules, ask why, remove the rule.
import { Configuration, ExplainApi, RulesApi, SystemApi } from "./generated";

// what of Node is used; its types are not installed
declare const process: { argv: string[]; exit(code: number): never };

const [url, token] = process.argv.slice(2);

async function five(): Promise<void> {
  const settings = new Configuration({ basePath: url, accessToken: token });
  const rules = new RulesApi(settings);
  const status = await new SystemApi(settings).readStatus();
  const ruleIn = { match: { source: "203.0.113.0/24" }, ttl: "15m", reason: "five calls" };
  const added = await rules.addRule({ ruleIn });
  const page = await rules.listRules({ within: "203.0.113.0/24" });
  const why = await new ExplainApi(settings).why({ address: "203.0.113.7" });
  const removed = await rules.removeRule({ ruleId: added.id });
  console.log(JSON.stringify({
    rules: status.rules.total,
    added: added.id,
    listed: page.rules.map((rule) => rule.reason),
    why: why.sentence,
    removed: removed.id,
  }));
}

five().catch((error) => {
  console.error(error);
  process.exit(1);
});
