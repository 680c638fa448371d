{{- define "tuner.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels: {{- include "tuner.labels" . | nindent 2 }}
{{- end }}

{{- define "tuner.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/part-of: tuner
{{- end }}

{{- define "tuner.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "tuner.secret" -}}
{{ if .root.Values.postgresql.enabled }}tuner-storage{{ else }}{{ index .root.Values.storage .role }}{{ end }}
{{- end }}

{{/* The Pod Security Standard "restricted"; the pod, then its container. */}}
{{- define "tuner.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "tuner.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* A pod of this project's image that reads the storage's URL from a file: root, name, role, args, resources; perhaps a
     token for the API, mounts, and container: what else its container has, as text. */}}
{{- define "tuner.pod" -}}
serviceAccountName: {{ .name }}
automountServiceAccountToken: {{ .token | default false }}
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "tuner.podSecurity" . | nindent 2 }}
containers:
  - name: {{ .name | trimPrefix "tuner-" }}
    image: {{ include "tuner.image" .root | quote }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    args: {{- toYaml .args | nindent 6 }}
    env:
      - name: TUNER_STORAGE_FILE
        value: /secrets/storage/url
      - name: NAMESPACE
        valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
    resources: {{- toYaml .resources | nindent 6 }}
    securityContext: {{- include "tuner.containerSecurity" . | nindent 6 }}
    terminationMessagePolicy: FallbackToLogsOnError
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      - {name: storage, mountPath: /secrets/storage, readOnly: true}
{{- with .mounts }}
      {{- toYaml . | nindent 6 }}
{{- end }}
{{- with .container }}
    {{- . | nindent 4 }}
{{- end }}
{{- end }}

{{- define "tuner.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
- name: storage
  secret: {secretName: {{ include "tuner.secret" . }}, defaultMode: 0440}
{{- end }}

{{/* Names are asked for everywhere; then TCP ports. Where it is said where the API server is, those that it listens on
     lead everywhere but there. */}}
{{- define "tuner.egress" -}}
{{- $api := .Values.networkPolicy.apiServer }}
{{- $of_api := list }}
{{- if not (has $api.cidr (list "0.0.0.0/0" "::/0")) }}
{{- range $api.ports }}
{{- $of_api = append $of_api (int .) }}
{{- end }}
{{- end }}
{{- $shared := list -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- range .Values.networkPolicy.ports }}
{{- if has (int .) $of_api }}
{{- $shared = append $shared (int .) }}
{{- else }}
    - {port: {{ . }}, protocol: TCP}
{{- end }}
{{- end }}
{{- if $shared }}
- to:
{{- range list "0.0.0.0/0" "::/0" }}
    - ipBlock: {cidr: {{ . | quote }}{{ if eq (contains ":" .) (contains ":" $api.cidr) }}, except: [{{ $api.cidr | quote }}]{{ end }}}
{{- end }}
  ports:
{{- range $shared }}
    - {port: {{ . }}, protocol: TCP}
{{- end }}
{{- end }}
{{- end }}
