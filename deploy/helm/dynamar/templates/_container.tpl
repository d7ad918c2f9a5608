{{- /* The environment; empty by default. */ -}}
{{- define "dynamar.env" -}}
{{- $env := dict -}}
{{- if .Values.tls.secretName -}}
{{- $_ := set $env "DYNAMAR_TLS__CERTIFICATE" "/run/dynamar/tls/tls.crt" -}}
{{- $_ := set $env "DYNAMAR_TLS__PRIVATE_KEY" "/run/dynamar/tls/tls.key" -}}
{{- with .Values.tls.clientCa -}}
{{- $_ := set $env "DYNAMAR_TLS__CLIENT_CA" (printf "/run/dynamar/tls/%s" .) -}}
{{- end -}}
{{- end -}}
{{- if .Values.auth.secretName -}}
{{- $_ := set $env "DYNAMAR_AUTH__TOKENS" "/run/dynamar/auth/callers.toml" -}}
{{- end -}}
{{- with .Values.traces.endpoint -}}
{{- $_ := set $env "DYNAMAR_TRACES__ENDPOINT" . -}}
{{- end -}}
{{- if .Values.gpu.enabled -}}
{{- /* Not `auto`, which goes on with CPUs. One session has the whole GPU, and larger batches are worth it there. */ -}}
{{- $_ := set $env "DYNAMAR_INFERENCE__EXECUTION_PROVIDER" "cuda" -}}
{{- $_ := set $env "DYNAMAR_BATCHING__WORKERS" "1" -}}
{{- $_ := set $env "DYNAMAR_CUDA__MAX_BATCH_TOKENS" "8192" -}}
{{- end -}}
{{- range $key, $value := merge (deepCopy .Values.env) $env }}
- name: {{ $key }}
  {{- /* A number of a file of values is a floating one, which from a million on would be written as 1e+06. */}}
  value: {{ kindIs "float64" $value | ternary ($value | int64) $value | quote }}
{{- end -}}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end -}}
{{- end -}}

{{- define "dynamar.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- if .Values.gpu.enabled -}}
{{- range list "requests" "limits" -}}
{{- $_ := set $resources . (merge (dict "nvidia.com/gpu" "1" "memory" $.Values.gpu.memory) (get $resources . | default dict)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}
