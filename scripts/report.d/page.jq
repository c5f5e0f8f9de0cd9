# Makes the page of what read.jq wrote. Every text of a record goes through `t`.

# === text ===

# A text for people, safe in HTML: no markup, no control characters, nothing that turns the direction.
def t:
  tostring | explode
  | map(if . == 9 or . == 10 then 32
        elif . < 32 or (. >= 127 and . < 160) or (. >= 8234 and . <= 8238) or (. >= 8294 and . <= 8297) then 65533
        else . end)
  | implode | @html;

# The same for a sentence: no flag and no tool in it is broken at its hyphens.
def prose: t | gsub("(?<before>^|[ (])(?<flag>(--?|mesh-)[a-z][a-z-]{0,30})"; "\(.before)<span class='flag'>\(.flag)</span>");

def some($n; $one): "\($n) \($one)" + if $n == 1 then "" else "s" end;

def took:
  if . == null then ""
  elif . < 9950 then "\((. / 100 | round) / 10)s"
  elif . < 119500 then "\(. / 1000 | round)s"
  else "\(. / 60000 | floor)m\(. % 60000 / 1000 | floor)s" end;

def when: if . == null then "" else tostring | sub("T"; " ") | sub("Z$"; "") end;

# Seconds, or null where it is no time.
def seconds: try (sub("\\.[0-9]+Z$"; "Z") | fromdateiso8601) catch null;

# A word with a sign, so that nobody needs the colour.
def mark($kind): "<span class='mark \($kind)'>" + ({good: "✓ ", bad: "✗ ", care: "! ", none: ""}[$kind]) + t + "</span>";

def ordinary: if . == "complete" or . == "proven" or . == "done" then "good"
  elif . == "skipped" then "none"
  elif . == "gone" or . == "superseded" or . == "interrupted" or . == "blocked" or . == "stopped" or . == "scoped" then "care"
  else "bad" end;

def table($name; $heads; $rows):
  if ($rows | length) == 0 then "<p>None.</p>"
  else "<div class='scroll' role='region' tabindex='0' aria-label='\($name | t)'><table><thead><tr>"
    + ($heads | map("<th scope='col'>\(t)</th>") | add) + "</tr></thead><tbody>"
    # On a phone a row is a block, and each cell says its own column.
    + ($rows | map("<tr><th scope='row'>\(.[0])</th>"
        + ([.[1:], $heads[1:]] | transpose | map("<td data-head='\(.[1] | t)'>\(.[0])</td>") | add) + "</tr>") | add)
    + "</tbody></table></div>" end;

def list: if length == 0 then "" else "<ul>" + (map("<li>\(.)</li>") | add) + "</ul>" end;

# A bar from one share of the line to another.
def bar($from; $share):
  "<span class='track' aria-hidden='true'><span style='margin-left:\($from * 1000 | round / 10)%;width:\([$share * 1000 | round / 10, 0.6] | max)%'></span></span>";

# === what the streams say ===

def clusters: map(.stream.cluster // .last.cluster // (.own | map(.cluster // empty) | first) // empty);
def called: clusters | first // "unknown";

def surveys: map(select(.tool == "mesh-survey" and .state == "complete")) | unique_by([.stream.time, .stream.run]);

def verdicts: map(select(.tool == "mesh-skewcheck") | . as $run | .own[] | select(.type == "verdict") | . + {whole: ($run.state == "complete")})
  | unique_by([.surveyed, .ask, .target, .control_plane, .pass, .whole]);

def mix: [.own[] | select(.type == "workload") | .proxies[]] | group_by(.version)
  | map({key: (.[0].version // "unknown version"), value: (map(.count) | add)}) | from_entries;

def unmeshed: [.own[] | select(.type == "workload") | .pods | .total - .meshed] | add // 0;

# What the last `done` verdict of one control plane is worth. A yes counts only if its stream is whole,
# its survey is of the whole server, and nothing was done after it.
def worth($acted):
  if (.whole | not) then ["bad", "NO ANSWER", "the stream of the last answer is not whole"]
  elif (.pass | not) then ["bad", "NOT DONE", "not everything runs \(.target), because of " + (.blocking | join(", "))]
    # What to do next is old where something was done since.
    + if $acted != null and $acted > .surveyed then [null, "Something was done at \($acted | when), after the survey that was asked: ask again."] else [.next, null] end
  elif .scope != "full" or .source != "server" then ["care", "NO ANSWER", "the last answer is about a part of the cluster or about a dump"]
  elif $acted != null and $acted > .surveyed then ["care", "NO ANSWER", "something was done at \($acted | when), after the last survey that was asked"]
  else ["good", "DONE", "the control plane and the workloads run \(.target), as surveyed at \(.surveyed | when)"
    + ((.counts // {} | (.behind // 0) + (.ahead // 0)) as $others
        | if $others > 0 then ", except \(some($others; "workload")) with another version, which the rules let pass: see the findings" else "" end)
    + if ((.waived // []) + [.thresholds // {} | keys[]] | length) > 0 then "; something was accepted for this, see below" else "" end] end;

# The one sentence of a cluster: the worst of its control planes.
def answer:
  ([.[] | select((.tool == "mesh-roll" or .tool == "mesh-cp-upgrade") and (.stream.dry_run | not))
    | .stream.time // empty, (.own[].time // empty)] | max) as $acted
  | ([verdicts[] | select(.ask == "done")] | group_by(.control_plane) | map(sort_by(.surveyed) | last)) as $done
  | ([surveys | last // {own: []} | .own[] | select(.type == "control_plane") | .namespace] - ($done | map(.control_plane))) as $unasked
  | if ($done | length) == 0 then ["care", "NO ANSWER", "no stream here asks whether the upgrade is done (mesh-skewcheck --ask done)"]
    elif ($unasked | length) > 0 then ["care", "NO ANSWER", "nobody asked about the control plane in " + ($unasked | join(", "))]
    else $done | map(worth($acted)) | sort_by(.[0] | {bad: 0, care: 1, good: 2}[.]) | first end;

# === the parts of the page ===

def versions:
  surveys as $all
  | if ($all | length) == 0 then "<p>No whole survey is in these streams.</p>"
    else ($all[0]) as $before | ($all | last) as $after
    | ($before | mix) as $old | ($after | mix) as $new
    | ([$old, $new | add // 0] | max) as $most
    | def cell($n): "\($n)" + if $n > 0 then bar(0; [$n / $most, 1] | min) else "" end;
      def control: [.own[] | select(.type == "control_plane") | .version // "unknown"] | join(", ") | t;
      "<p>Control plane: \($before | control)" + (if ($all | length) > 1 then " before, \($after | control) after" else "" end) + ".</p>"
    + (if ($all | length) > 1
      then table("Pods by proxy version"; ["Proxy", "Pods at \($before.stream.time | when)", "Pods at \($after.stream.time | when)"];
        [($old + $new | keys[]) | [t, cell($old[.] // 0), cell($new[.] // 0)]]
        + [["no proxy", cell($before | unmeshed), cell($after | unmeshed)]])
      else "<p>Only one survey is here, so there is no before and after.</p>"
        + table("Pods by proxy version"; ["Proxy", "Pods at \($before.stream.time | when)"];
          [($old | keys[]) | [t, cell($old[.])]] + [["no proxy", cell($before | unmeshed)]]) end) end;

def answers:
  verdicts | sort_by(.surveyed) | map([
    (.surveyed | when | t),
    ("\(.ask)" + (if .target then " to \(.target)" else "" end) | t),
    (if .whole | not then "not whole" | mark("bad") elif .pass then "yes" | mark("good") else "no" | mark("bad") end),
    ((.blocking // [] | join(", ") | t)
     + (if .scope == "full" and .source == "server" then "" else " (\(.scope) survey, \(.source))" | t end))]);

# Who ran it, how it ended, and in which file it is.
def heading:
  "<h3>\(.tool | t) at \(.stream.time | when | t)" + (if .stream.dry_run then " (rehearsal)" else "" end) + "</h3><p>"
  + (if .state == "complete" and (.last.exit // 0) != 0 then "exit code \(.last.exit)" | mark("bad") else .state | mark(ordinary) end)
  + (if .stream.dry_run then " Nothing was changed." elif .last.reason then " \(.last.reason | prose)." else "" end)
  + (if .stream.by then " By \(.stream.by.user | t) on \(.stream.by.host | t)." else "" end)
  + " In <code>\(.file | t)</code>.</p>"
  + (.stream.argv | if type == "array" and length > 0 then "<p><code>\(map(tostring) | join(" ") | prose)</code></p>" else "" end);

# Adds where each record lies in its run, from 0 to 1.
def placed:
  (.stream.time | seconds) as $begin
  | ([.own[] | .time // empty | seconds // empty] | max) as $finish
  | (if $begin and $finish then [$finish - $begin, 1] | max else null end) as $span
  | def place:
      (.time | seconds) as $time | (.duration_ms // 0) as $ms
      | if $span and $time then (([($time - $begin) - $ms / 1000, 0] | max) / $span) as $from
          | bar([$from, 1] | min; [$ms / 1000 / $span, 1 - ([$from, 1] | min)] | min)
        else "" end;
    .own |= map(. + {bar: place});

# The steps and the rollouts that were begun, and whose outcome is in no record.
def open_steps: (.own | map(select(.type == "step"))) as $steps
  | [$steps[] | select(.state == "started") | .step] - [$steps[] | select(.state != "started") | .step];

def open_rollouts: [.own[] | select(.type == "progress") | .ref // empty] - [.own[] | select(.type == "rolled") | .ref] | unique;

def steps:
  placed | open_steps as $open
  | .own | map(select(.type == "step" and (.state != "started" or (.step | IN($open[])))))
  | map([(.step | t),
      (if .state == "started" then "no result" | mark("bad") else .state | mark(ordinary) end),
      (.duration_ms | took), .bar,
      ((.message | prose) + if .reason then ": \(.reason | prose)" else "" end)]);

def rollouts:
  placed | (.own | map(select(.type == "rolled")
      | [(.ref | t), (.outcome | mark(ordinary)), "\(.pods.proven) of \(.pods.wanted)", (.duration_ms | took), .bar,
        (((.from // []) | join(", ")) + " → " + (.to // "?") + ", " + .strategy | t)]))
    + (open_rollouts | map([t, ("no result" | mark("bad")), "", "", "", "it was announced, and its outcome is in no record"]));

# A tool's rehearsals count only where it never acted.
def acts: . as $all
  | map(select((.stream.dry_run | not) or (.tool as $tool | all($all[]; .tool != $tool or .stream.dry_run))));

# Of the last run that says something of a workload or a step: what an earlier one found may be over. A
# step does not say of which control plane it is, so with several none takes another off.
def trouble:
  ([.[] | .own[] | if .type == "control_plane" then .namespace elif .type == "verdict" then .control_plane else empty end] | unique | length > 1) as $several
  | [acts[] | (.stream.time // "") as $time | open_steps as $steps
   | (.own[]
      | if .type == "rolled" then
          {key: .ref, row: (if .outcome == "proven" then null else [(.ref | t), (.outcome | mark(ordinary)),
            (. as $it | [.message, (.pod, .container | strings | select(. as $part | $it.message | contains($part) | not))] | join(", ") | prose)] end)}
        elif .type == "skipped" then
          {key: .ref, row: (if .class == "attention" then [(.ref | t), ("left out" | mark("care")), (.message | prose)] else null end)}
        elif .type == "step" and (.state != "started" or (.step | IN($steps[]))) then
          {key: ("step \(.step)" + if $several then $time else "" end), row: (
            if .state == "failed" then [("step \(.step)" | t), ("failed" | mark("bad")), ([.message, .reason // empty] | join(": ") | prose)]
            elif .state == "started" then [("step \(.step)" | t), ("no result" | mark("bad")), (.message | prose)]
            else null end)}
        else empty end),
     (open_rollouts[] | {key: ., row: [t, ("no result" | mark("bad")), "it was announced, and its outcome is in no record"]})
   | . + {time: $time}]
  | group_by(.key) | map((map(.time) | max) as $last | .[] | select(.time == $last) | .row | arrays) | unique;

def expected: [acts[] | .own[] | select(.type == "skipped" and .class != "attention") | .message] | unique;

# Of the last judgement for each question, and whether it is of the last survey that was asked.
def findings(which):
  [.[] | select(.tool == "mesh-skewcheck")
   | [.own[] | select(.type == "verdict")] as $verdicts | ($verdicts | first // {}) as $verdict
   | {ask: ("\($verdict.ask // "?")" + if $verdict.target then " to \($verdict.target)" else "" end),
      planes: ($verdicts | map(.control_plane)), surveyed: ($verdict.surveyed // ""), own}]
  | group_by(.planes) | map((map(.surveyed) | max) as $last
      | group_by(.ask) | map(max_by(.surveyed) | . + {last: (.surveyed == $last)}) | .[])
  | [.[] | .ask as $ask | .last as $last | .own[] | select(.type == "finding") | select(which)
     | {id, severity, message, hint, waived, count, workloads: [.workloads[:3][]?.ref], ask: $ask, last: $last}]
  | group_by([.id, .severity, .message]) | map(.[0] + {ask: (map(.ask) | unique | join(", ")), last: any(.[]; .last)});

def finding_rows: sort_by(.severity)
  | map([(.id | t), (.severity | mark(if . == "error" then "bad" else "care" end)), (.ask | t),
      ((.message | prose)
       + (if (.workloads | length) > 0 then "<br>" + (.workloads | join(", ") | t) + (if .count > (.workloads | length) then " and \(.count - (.workloads | length)) more" else "" end) else "" end)
       + if .hint then "<br><small>To do: \(.hint | prose)</small>" else "" end)]);

# What the command line of a run allows, such as an outage.
def allowed:
  .stream.argv | arrays | map(strings) | . as $words | range(length)
  | $words[.] as $word | select($word | startswith("--allow-"))
  | $word + if ($word | contains("=")) then "" else " \($words[. + 1] // "")" end;

def accepted:
  (findings(.waived) | map([(.id | t), (.waived | t), (.message | prose)]))
  + ([acts[] | .tool as $tool | allowed | [prose, "allowed on the command line", ($tool | t)]] | unique)
  + ([verdicts[] | .waived[]?] | unique | map([t, ("accepted with --ack" | prose), ""]))
  + ([verdicts[] | .thresholds // {} | to_entries[] | {key, value}] | unique | map([(.key | t), (.value | t), "the option of a verdict that differs from its default"]));

def files($runs):
  map(select(.sum)) | map(. as $file | ($runs | map(select(.file == $file.file))) as $own
    | [(.file | t),
       ($own | map(select(.state != "complete")) as $odd
        | if ($file.faults | length) > 0 then "damaged" | mark("bad")
          elif ($odd | length) > 0 then ($odd | map(.state) | unique | join(", ")) | mark($odd[0].state | ordinary)
          else "whole" | mark("good") end),
       ($own | map("\(.tool)" | t) | join(", ")), "\(.lines)", "<code>\(.sum[:16])</code>"]);

# What makes a reader doubt the page: named before anything else.
def doubts($runs):
  (map(select(.sum)) | map(. as $file | .faults[:3][] | "<code>\($file.file | t)</code>: \(. | t)")
   + map(select(.faults | length > 3) | "<code>\(.file | t)</code>: and \(.faults | length - 3) more"))
  + ($runs | map(select(.state != "complete") | "<code>\(.file | t)</code>: \(.tool | t) (from line \(.line)) "
    + ({cut: "was cut: it has no end", thinned: "has lost records", scoped: "looked at a part of the cluster only", stopped: "stopped before the end", failed: "failed"}[.state] // "is \(.state)" | t)
    + (if (.lost | length) > 0 then ": \(.lost | join(", ") | t)" else "" end)
    + (if .last.reason then ": \(.last.reason | t)" else "" end)));

def section($name; $content): "<section><h2>\($name)</h2>\($content)</section>";

def cluster:
  (called | t) as $name | answer as $answer | trouble as $trouble
  | "<article><h1>\($name)</h1><p class='answer \($answer[0])'><strong>\($answer[1])</strong> \($answer[2] | prose)."
  + (if $answer[3] then "<br>Next: <code>\($answer[3] | prose)</code>" else "" end)
  + (if $answer[4] then "<br>\($answer[4] | prose)" else "" end)
  + (if ($trouble | length) > 0 then "<br>The runs left \($trouble | map(.[0]) | unique | length) for somebody: see below." else "" end) + "</p>"
  + section("Versions"; versions)
  + section("Needs somebody"; (if ($trouble | length) > 0 then "<p>As the runs left it; what was mended since by other means is not taken off.</p>" else "" end) + table("Needs somebody"; ["What", "State", "Why"]; $trouble)
      + (expected | if length > 0 then "<details><summary>\(some(length; "workload")) left alone, as expected</summary>" + (map(prose) | list) + "</details>" else "" end))
  + section("Answers"; table("Answers"; ["Surveyed", "Question", "Answer", "Because of"]; answers))
  + section("Findings that block or warn"; findings((.waived | not) and .severity != "info") as $all
      | ["Rule", "Severity", "Asked for", "What and what to do"] as $heads
      | ($all | map(select(.last | not))) as $earlier
      | "<p>Of the last survey that was asked.</p>" + table("Findings that block or warn"; $heads; $all | map(select(.last)) | finding_rows)
      + if ($earlier | length) > 0 then "<details><summary>\(some($earlier | length; "finding")) of earlier surveys, which may be over</summary>" + table("Findings of earlier surveys"; $heads; $earlier | finding_rows) + "</details>" else "" end)
  + section("Accepted"; table("Accepted"; ["What", "Reason", "About"]; accepted))
  + section("Control plane"; [.[] | select(.tool == "mesh-cp-upgrade")] | sort_by(.stream.time)
      | if length == 0 then "<p>No run of mesh-cp-upgrade is in these streams.</p>"
        else map(heading + table("Steps"; ["Step", "State", "Took", "Time line", "What"]; steps)) | add end)
  + section("Rollouts"; [.[] | select(.tool == "mesh-roll")] | sort_by(.stream.time)
      | if length == 0 then "<p>No run of mesh-roll is in these streams.</p>"
        else map(heading + if .stream.dry_run then (([.own[] | select(.type == "intent") | .message] | first) as $intent | if $intent then "<p>\($intent | prose).</p>" else "" end)
          else table("Rollouts"; ["Workload", "Outcome", "Pods proven", "Took", "Time line", "Proxies"]; rollouts) end) | add end)
  + "</article>";

# A judgement may be about a fleet: one run for each cluster.
def of_each_cluster:
  if .tool != "mesh-skewcheck" then .
  else . as $run | ([.own[].cluster // empty] | unique | if length == 0 then [null] else . end)[]
    | . as $cluster
    | if $cluster == null then $run
      else $run + {own: ($run.own | map(select(.cluster == $cluster))), stream: ($run.stream + {cluster: $cluster})} end
  end;

# === the page ===

. as $lines
| ([.[] | select(.record)] | group_by([.file, .n]) | map({key: "\(.[0].n) \(.[0].file)", value: map(.record)}) | from_entries) as $own
| [.[] | select(.run) | .run + {file, own: ($own["\(.run.n) \(.file)"] // [])}] as $runs
# A stream without a cluster's uid belongs to the cluster with its label.
| ($runs | map(select(.stream.cluster_uid) | {key: (.stream.cluster // "unknown"), value: .stream.cluster_uid}) | from_entries) as $uids
| ($runs | map(of_each_cluster | . + {of: (.stream.cluster_uid // ([.own[].cluster_uid // empty] | first) // $uids[[.] | called] // ([.] | called))})
   | group_by(.of)) as $groups
| ($lines | doubts($runs)) as $doubts
| ($groups | map(called) | join(", ")) as $names
| "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><meta name='viewport' content='width=device-width, initial-scale=1'>"
+ "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src 'unsafe-inline'\">"
+ "<meta name='color-scheme' content='light dark'><title>Linkerd upgrade: \($names | t)</title><style>\($style)</style></head><body><main>"
+ (if ($doubts | length) > 0 then "<aside class='doubt' role='alert'><h2>! Not everything is here</h2><p>These streams are not whole. What they lack is on no part of this page.</p>" + ($doubts | list) + "</aside>" else "" end)
+ ($groups | map(cluster) | add // "<p class='answer bad'><strong>NO ANSWER</strong> no stream was read</p>")
+ section("Streams"; "<p>Times are UTC, as the API server had them. The sum is the start of the file's SHA-256.</p>"
    + table("Streams"; ["File", "State", "Written by", "Lines", "Sum"]; $lines | files($runs)))
+ "</main></body></html>"
