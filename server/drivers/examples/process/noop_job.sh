#!/bin/sh
# Returns its main class: the smallest job of the engine `process`.
[ "$1" = "--validate" ] && exit 0
printf '"%s"' "$1" >&3
