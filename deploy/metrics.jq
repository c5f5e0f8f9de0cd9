# The answer of a drift report as metrics of Prometheus, in its text form:
#
#   jq -rn -f deploy/metrics.jq drift.ndjson
#
# It fails on a stream that is not whole, so that no metric says that all is well.

def text: tostring | gsub("\\\\"; "\\\\") | gsub("\""; "\\\"") | gsub("\n"; "\\n");
def labels: to_entries | map("\(.key)=\"\(.value | text)\"") | join(",");
def metric($name; $help; values):
  "# HELP \($name) \($help)", "# TYPE \($name) gauge",
  (values | "\($name){\(.[0] | labels)} \(.[1])");

[inputs] as $all
| ($all | last) as $last
| if $last.type != "end" or $last.tool != "mesh-skewcheck" or $last.outcome != "complete"
  then error("the stream is not whole") else . end
| ([$all[] | select(.type == "verdict")]
   | if length == 0 or any(.ask != "drift") then error("this is no answer to --ask drift") else . end) as $verdicts
| [$all[] | select(.type == "workload")] as $workloads
| metric("mesh_drift_ok"; "1 if every proxy is within the supported skew, else 0.";
    $verdicts[] | [{cluster, control_plane}, if .pass then 1 else 0 end]),
  metric("mesh_drift_surveyed_seconds"; "When the cluster was surveyed, as a Unix time.";
    $verdicts[] | [{cluster, control_plane}, (.surveyed | sub("\\.[0-9]+Z$"; "Z") | fromdateiso8601)]),
  metric("mesh_drift_findings"; "Findings of a rule, by severity.";
    [$all[] | select(.type == "finding")] | group_by([.cluster, .control_plane, .id, .severity])[]
    | [(.[0] | {cluster, control_plane, id, severity}), length]),
  metric("mesh_drift_proxies"; "Pods with a proxy of a version, by namespace.";
    [$workloads[] | {cluster, namespace} + .proxies[]] | group_by([.cluster, .namespace, .version])[]
    | [(.[0] | {cluster, namespace, version: (.version // "unknown")}), (map(.count) | add)]),
  metric("mesh_drift_certificate_expiry_seconds"; "When a certificate of the mesh expires, as a Unix time.";
    $all[] | select(.type == "control_plane") | . as $plane | .certificates[] | select(.not_after)
    | [{cluster: $plane.cluster, control_plane: $plane.namespace, role, name}, (.not_after | sub("\\.[0-9]+Z$"; "Z") | fromdateiso8601)])
