# The first process of a namespace of its own: losses.sh FLAGS TIMES KILL
# Runs work.sh guarded, kills its server after the first refusal if KILL is `kill`, and waits for all.
[ $$ = 1 ] || { echo "this is for a process namespace of its own" >&2; exit 99; }
servers() {
	for process in /proc/[0-9]*; do
		read -r name <"$process/comm" && [ "$name" = rampart-policy ] && echo "${process#/proc/}"
	done 2>/dev/null
}
# shellcheck disable=SC2086 # a list of words
"$RAMPART" preload $1 --policy deny.yaml -- sh work.sh "$2" 2>>said &
if [ "$3" = kill ]; then
	until grep -q blocked said; do sleep 0.1; done
	for server in $(servers); do kill -9 "$server" && echo killed; done
fi
wait
while [ -n "$(servers)" ]; do sleep 0.1; done
echo over
