# Commands by which people free a port or a disk. Only in a process namespace of its own: the one whose
# first process is losses.sh.
read -r first </proc/1/cmdline || :
case $first in
*losses.sh*) ;;
*) echo "this is for the process namespace of losses.sh" >&2; exit 99 ;;
esac
while [ ! -e "$HOME/stop" ]; do
	find "${TMPDIR:?}" -mindepth 1 -delete
	pkill -f server
	pkill -f serve
	pkill -9 -f rampart
	killall -q rampart-policy
	fuser -s -k "$XDG_RUNTIME_DIR"/*/s.sock
	pidof rampart-policy | xargs kill -9
	sleep 0.1
done 2>/dev/null
