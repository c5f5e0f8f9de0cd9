{{- define "cp.minor" }}{{ index .Chart.Annotations "sim.test/minor" }}{{ end }}

{{- define "cp.labels" -}}
linkerd.io/control-plane-component: {{ .component }}
linkerd.io/control-plane-ns: {{ .root.Release.Namespace }}
{{- end }}

{{- define "cp.created-by" -}}
linkerd.io/created-by: {{ .root.Values.cliVersion | default (printf "linkerd/helm %s" .root.Values.linkerdVersion) }}
{{- end }}

{{- define "cp.proxy-version" }}{{ .Values.proxy.image.version | default .Values.linkerdVersion }}{{ end }}

{{- define "cp.selector" -}}
linkerd.io/control-plane-component: {{ .component }}
{{- if ne .component "proxy-injector" }}
linkerd.io/control-plane-ns: {{ .root.Release.Namespace }}
linkerd.io/proxy-deployment: linkerd-{{ .component }}
{{- end }}
{{- end }}

{{/* Since 2.20 the proxy image holds what prepares the pod's network. */}}
{{- define "cp.init-container" -}}
{{- if .root.Values.cniEnabled }}
- name: linkerd-network-validator
  image: {{ .root.Values.proxy.image.name }}:{{ include "cp.proxy-version" .root }}
  command: [/usr/lib/linkerd/linkerd-network-validator]
{{- else if ge (int (include "cp.minor" .root)) 20 }}
- name: linkerd-init
  image: {{ .root.Values.proxy.image.name }}:{{ include "cp.proxy-version" .root }}
  command: [/usr/lib/linkerd/linkerd2-proxy-init]
{{- else }}
- name: linkerd-init
  image: {{ .root.Values.proxyInit.image.name }}:{{ .root.Values.proxyInit.image.version }}
{{- end }}
{{- end }}

{{- define "cp.proxy-container" -}}
- name: linkerd-proxy
  image: {{ .root.Values.proxy.image.name }}:{{ include "cp.proxy-version" .root }}
  {{- if .native }}
  restartPolicy: Always
  {{- end }}
  env:
  - name: LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS
    valueFrom:
      configMapKeyRef: {name: linkerd-identity-trust-roots, key: ca-bundle.crt}
  ports:
  - {containerPort: 4143, name: linkerd-proxy}
  - {containerPort: 4191, name: linkerd-admin}
  securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, runAsNonRoot: true, runAsUser: 2102}
{{- end }}

{{/* One component: its Deployment with the proxy in the template, service account and budget.
     Takes root, component, containers (name to image), budget, and certificates that a change of
     restarts it. */}}
{{- define "cp.component" }}
{{- $values := .root.Values }}
{{- $native := and $values.proxy.nativeSidecar (ne .component "identity") }}
{{- $proxy := include "cp.proxy-container" (dict "root" .root "native" $native) }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: linkerd-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "cp.labels" . | nindent 4 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: linkerd-{{ .root.Release.Namespace }}-{{ .component }}
  labels: {{- include "cp.labels" . | nindent 4 }}
rules:
- apiGroups: [""]
  resources: [namespaces, pods, services]
  verbs: [get, list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: linkerd-{{ .root.Release.Namespace }}-{{ .component }}
  labels: {{- include "cp.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: linkerd-{{ .root.Release.Namespace }}-{{ .component }}
subjects:
- kind: ServiceAccount
  name: linkerd-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: linkerd-{{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    app.kubernetes.io/name: {{ .component }}
    app.kubernetes.io/part-of: Linkerd
    app.kubernetes.io/version: {{ $values.linkerdVersion }}
    {{- include "cp.labels" . | nindent 4 }}
  annotations: {{- include "cp.created-by" . | nindent 4 }}
spec:
  replicas: {{ $values.controllerReplicas }}
  revisionHistoryLimit: 10
  selector:
    matchLabels: {{- include "cp.selector" . | nindent 6 }}
  strategy: {{- toYaml $values.deploymentStrategy | nindent 4 }}
  template:
    metadata:
      annotations:
        {{- include "cp.created-by" . | nindent 8 }}
        linkerd.io/proxy-version: {{ include "cp.proxy-version" .root }}
        linkerd.io/trust-root-sha256: {{ $values.identityTrustAnchorsPEM | sha256sum }}
        {{- if and .certificates (eq (index .root.Chart.Annotations "sim.test/restarts-on-new-certificates") "true") }}
        checksum/config: {{ .certificates | sha256sum }}
        {{- end }}
      labels:
        {{- include "cp.labels" . | nindent 8 }}
        linkerd.io/workload-ns: {{ .root.Release.Namespace }}
        linkerd.io/proxy-deployment: linkerd-{{ .component }}
        {{- with index $values.sim.behaviour .component }}
        sim.test/behaviour: {{ . }}
        {{- end }}
    spec:
      nodeSelector: {kubernetes.io/os: linux}
      serviceAccountName: linkerd-{{ .component }}
      {{- if $values.enablePodAntiAffinity }}
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution:
          - topologyKey: kubernetes.io/hostname
            labelSelector:
              matchExpressions:
              - {key: linkerd.io/control-plane-component, operator: In, values: [{{ .component }}]}
      {{- end }}
      initContainers:
      {{- include "cp.init-container" . | nindent 6 }}
      {{- if $native }}{{ $proxy | nindent 6 }}{{ end }}
      containers:
      {{- if and (not $native) (ne .component "identity") }}{{ $proxy | nindent 6 }}{{ end }}
      {{- range .containers }}
      - name: {{ .name }}
        image: {{ .image }}
      {{- end }}
      {{- if eq .component "identity" }}{{ $proxy | nindent 6 }}{{ end }}
{{- if $values.enablePodDisruptionBudget }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .budget }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "cp.labels" . | nindent 4 }}
  annotations: {{- include "cp.created-by" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      linkerd.io/control-plane-component: {{ .component }}
{{- end }}
{{- end }}

{{- define "cp.service" }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "cp.labels" . | nindent 4 }}
  annotations: {{- include "cp.created-by" . | nindent 4 }}
spec:
  type: ClusterIP
  selector:
    linkerd.io/control-plane-component: {{ .component }}
  ports:
  - {name: {{ .port.name }}, port: {{ .port.port }}, targetPort: {{ .port.target }}}
{{- end }}

{{- define "cp.tls-secret" }}
---
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata:
  name: {{ .name }}-k8s-tls
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "cp.labels" . | nindent 4 }}
  annotations: {{- include "cp.created-by" . | nindent 4 }}
data:
  tls.crt: {{ .pair.Cert | b64enc }}
  tls.key: {{ .pair.Key | b64enc }}
{{- end }}
