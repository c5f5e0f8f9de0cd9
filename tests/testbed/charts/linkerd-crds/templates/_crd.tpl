{{/* The last of the versions is the stored one. */}}
{{- define "crds.crd" }}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {{ .plural }}.{{ .group }}
  labels:
    helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
    linkerd.io/control-plane-ns: {{ .root.Release.Namespace }}
  annotations:
    linkerd.io/created-by: {{ .root.Values.cliVersion | default (printf "linkerd/helm %s" (index .root.Chart.Annotations "sim.test/version")) }}
    {{- if eq .group "gateway.networking.k8s.io" }}
    api-approved.kubernetes.io: https://github.com/kubernetes-sigs/gateway-api/pull/1923
    gateway.networking.k8s.io/bundle-version: {{ ternary "v1.2.1" "v0.7.1" (ge (int (index .root.Chart.Annotations "sim.test/minor")) 18) }}
    gateway.networking.k8s.io/channel: experimental
    {{- if ge (int (index .root.Chart.Annotations "sim.test/minor")) 18 }}
    helm.sh/resource-policy: keep
    {{- end }}
    {{- end }}
spec:
  group: {{ .group }}
  scope: Namespaced
  names:
    kind: {{ .kind }}
    plural: {{ .plural }}
    singular: {{ lower .kind }}
  versions:
  {{- $stored := last .versions }}
  {{- range .versions }}
  - name: {{ . }}
    served: true
    storage: {{ eq . $stored }}
    schema:
      openAPIV3Schema:
        type: object
        x-kubernetes-preserve-unknown-fields: true
  {{- end }}
{{- end }}
