"""Values for the chart that are tried: those that are like an overlay, further ones, and those that must be refused."""

# Variants of the chart, each like the overlay of its name.
VARIANTS = {
    "cpu": [],
    "image": ["models.from=image"],
    "gpu": ["gpu.enabled=true"],
    "tls": ["tls.secretName=dynamar-tls", "traces.endpoint=http://otel-collector.monitoring.svc:4317"],
    "mtls": ["tls.secretName=dynamar-tls", "tls.clientCa=ca.crt"],
    "autoscaling": ["autoscaling.enabled=true"],
    "autoscaling-wait": ["autoscaling.enabled=true", "autoscaling.wait.enabled=true", "podMonitor.enabled=true"],
}
# And further ones, which are only validated; from a file, in which numbers are not what they are in `--set`.
FURTHER = {
    "auth": {
        "auth": {"secretName": "callers"},
        "env": {"DYNAMAR_CACHE__MAX_BYTES": 268435456, "DYNAMAR_BATCHING__WORKERS": 2, "DYNAMAR_TRACES__SAMPLE_RATIO": "0.5"},
        "nodeSelector": {"disk": "ssd"},
    },
    "included": {"models": {"from": "included"}, "podDisruptionBudget": {"enabled": False}, "networkPolicy": {"enabled": False}},
    "claim": {"models": {"volume": {"existingClaim": "mine", "subPath": ""}}},
    "traces": {"traces": {"endpoint": "http://collector.tracing.svc:14317/", "namespace": "tracing"}},
    "predictions": {
        "extraEnv": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                     {"name": "DYNAMAR_PREDICTION_LOG__PATH", "value": "/var/log/dynamar/$(POD_NAME).jsonl"}],
        "extraVolumes": [{"name": "predictions", "persistentVolumeClaim": {"claimName": "dynamar-predictions"}}],
        "extraVolumeMounts": [{"name": "predictions", "mountPath": "/var/log/dynamar"}],
    },
    "operator": {
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    },
    # With the pod of `helm test`.
    "with-tests": {"imagePullSecrets": [{"name": "registry"}], "nodeSelector": {"disk": "ssd"},
                   "tolerations": [{"key": "inference", "operator": "Exists"}]},
}  # fmt: skip
# What values.schema.json must not let through.
REFUSED = [
    "replicas=0", "replica=3", "models.from=nowhere", "resources.limits.cpu=1500m", "models.volume.subPath=../x",
    "autoscaling.cpu=200", "image.digest=sha256:12", "env.dynamar_x=1", "env.X={1}",
    "traces.endpoint=collector:4317", "traces.endpoint=https://collector:4317", "traces.endpoint=http://collector",
    "tls.clientCa=ca.crt", "tls.secretName=t,tls.probeSecretName=p",
    "extraVolumeMounts[0].name=x", "podMonitor.labels=x",
]  # fmt: skip
