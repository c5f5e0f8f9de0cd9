# Reads one file, line by line. Writes one line for each record that the page needs, one for each run
# (from a `stream` record to its `end`) that says how whole it is, and one for the file.
#
# The state is small, because jq copies it for each line: the runs that are open, and what is wrong.

# What the page needs of a record: of how far a rollout is, only that it was announced.
def needed:
  if .type == "workload" then {type, pods, proxies}
  elif .type == "progress" then if .ref then {type, ref, time} else empty end
  else . end;

# The types of which a run has fewer or more records than its `end` says.
def uncounted($said):
  . as $has
  | [($said + $has | keys_unsorted[]) | select(($said[.] // 0) != ($has[.] // 0))
     | "\($has[.] // 0) of \($said[.] // 0) records of type \(.)"];

def closed($last):
  . as $run
  | ($run.totals | uncounted($last.totals | objects // {})) as $lost
  | $run + {last: $last, lost: $lost, state: (
      if $last.outcome != "complete" then ($last.outcome | strings // "failed")
      elif ($lost | length) > 0 then "thinned"
      elif ($run.stream.scope | objects // {} | length) > 0 then "scoped"
      else "complete" end)};

def close($run): .open |= .[:-1] | .out += [{run: $run}];

# A survey may be inside of a judgement; any other run that begins inside of another shows that the
# other one was cut.
def settle($tool):
  if (.open | length) == 0 or (.open[-1].tool == "mesh-skewcheck" and $tool == "mesh-survey") then .
  else close(.open[-1]) | settle($tool) end;

def fault($what): .faults += ["line \(.line) \($what)"];

def record($record):
  if $record.type == "stream" then
    settle($record.tool)
    | .runs += 1
    | .open += [{n: .runs, line, tool: ($record.tool | strings // "unknown"), stream: $record, totals: {}, lost: [], state: "cut"}]
  elif (.open | length) == 0 then
    fault("is outside of every stream")
  elif $record.type == "end" then
    if $record.tool == .open[-1].tool then close(.open[-1] | closed($record))
    else fault("ends a stream of another tool") end
  else
    .open[-1].totals[$record.type | strings // "unknown"] += 1
    | .out += [{n: .open[-1].n, record: ($record | needed)}]
  end;

def line($text):
  .line += 1
  | if $text | test("^\\s*$") then .
    else ([$text | fromjson?] | map(objects) | first) as $record
      | if $record then record($record)
        else fault("is not a record: it was cut, or is no JSON object") end
    end;

# Whatever is still open at the end of the file was cut.
def over:
  if (.open | length) > 0 then close(.open[-1]) | over
  else
    (if .runs == 0 then .faults += ["there is no stream in it"] else . end)
    | .out += [{sum: $sum, lines: .line, faults}]
  end;

foreach (inputs, null) as $text ({line: 0, runs: 0, open: [], faults: []};
  .out = [] | if $text then line($text) else over end;
  .out[] | {file: $file} + .)
