{{/* Name of the release's objects: "azure-hpc-operator" for a release of that name, else prefixed with the release. */}}
{{- define "azure-hpc-operator.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: a Deployment's selector is immutable. */}}
{{- define "azure-hpc-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "azure-hpc-operator.labels" -}}
{{ include "azure-hpc-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Name of the ServiceAccount that the operator runs as. */}}
{{- define "azure-hpc-operator.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "azure-hpc-operator.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* Which managed identity the operator signs in as, and whatever else the user wants there. */}}
{{- define "azure-hpc-operator.serviceAccountAnnotations" -}}
{{- with .Values.azure.clientId }}
azure.workload.identity/client-id: {{ . | quote }}
{{- end }}
{{- with .Values.azure.tenantId }}
azure.workload.identity/tenant-id: {{ . | quote }}
{{- end }}
{{- with .Values.serviceAccount.annotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The Azure subscription, or a sentence that says how to give it. */}}
{{- define "azure-hpc-operator.subscriptionId" -}}
{{- required "azure.subscriptionId must name the Azure subscription that environments are made in: add --set azure.subscriptionId=$(az account show --query id --output tsv)" .Values.azure.subscriptionId -}}
{{- end -}}

{{/* What the operator may do in the namespaces that it looks after. It calls nothing else, so nothing else is granted. */}}
{{- define "azure-hpc-operator.operatorRules" -}}
- apiGroups: [azurehpc.io]
  resources: [hpcenvironments, storagetiers, computepartitions]
  verbs: [get, list, watch, patch]
- apiGroups: [azurehpc.io]
  resources: [hpcenvironments/status, storagetiers/status, computepartitions/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}
