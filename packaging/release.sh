#!/usr/bin/env bash
# Tag, build and check a release. Publishing is left to the owner: the last lines say how.
# usage: packaging/release.sh VERSION
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:?usage: packaging/release.sh VERSION, for example 0.2.0}
fail() { echo "error: $1" >&2; exit 2; }

[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "$version is not MAJOR.MINOR.PATCH"
[ -z "$(git status --porcelain)" ] || fail "the checkout has changes; commit them first"
[ "$(git rev-parse --abbrev-ref HEAD)" = main ] || fail "releases are made from main"
grep -q "^__version__ = \"$version\"" src/motet/_version.py || fail "src/motet/_version.py does not say $version"
grep -q "^## $version (" CHANGELOG.md || fail "CHANGELOG.md has no section '## $version (DATE)'"
! grep -q "^## $version (unreleased)" CHANGELOG.md || fail "give the section $version of CHANGELOG.md its date"
grep -q "^version: $version" CITATION.cff || fail "CITATION.cff does not say version $version"
! git rev-parse -q --verify "refs/tags/v$version" > /dev/null || fail "the tag v$version is there already"

make test
packaging/check_wheel.sh dist
git tag -a "v$version" -m "motet $version"
echo "tagged v$version. To publish it:"
echo "  git push origin main v$version"
echo "  uv publish dist/motet-$version*"
