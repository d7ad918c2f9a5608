{{- define "dynamar.name" -}}
{{- if contains "dynamar" .Release.Name -}}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-dynamar" (.Release.Name | trunc 42 | trimSuffix "-") }}
{{- end -}}
{{- end -}}

{{- define "dynamar.selector" -}}
app.kubernetes.io/name: dynamar
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dynamar.labels" -}}
{{ include "dynamar.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "dynamar.image" -}}
{{- if .Values.image.digest -}}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}{{ .Values.image.repository }}:{{ .Values.image.tag | default (printf "%s%s" .Chart.AppVersion (.Values.gpu.enabled | ternary "-gpu" "")) }}
{{- end -}}
{{- end -}}

{{- define "dynamar.claim" -}}
{{ .Values.models.volume.existingClaim | default (printf "%s-models" (include "dynamar.name" .)) }}
{{- end -}}

{{- /* How a probe asks: on a port of its own, since the kubelet speaks no TLS. */ -}}
{{- define "dynamar.probe" -}}
grpc:
  port: 8081
  service: dynamar.v1.Inference
{{- end -}}

{{- define "dynamar.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "dynamar.pod" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}
