# The guarded work: programs are started in each way that once lost the guard.
sh worker.sh plain "$1" & plain=$!
sh worker.sh second "$1" & second=$!
if [ "$USERS" = 1 ]; then
	setpriv --reuid=65534 --regid=65534 --clear-groups sh worker.sh user "$1" & user=$!
fi
unshare $UNSHARE -n sh worker.sh network "$1" & network=$!
unshare $UNSHARE -m sh hidden.sh "$1" & hidden=$!
./unreadable "$BIN" "$1" "$HOME/done"
sh disturb.sh & disturb=$!
wait "$plain" "$second" ${user:-} "$network" "$hidden"
while [ ! -e "$HOME/done" ]; do sleep 0.1; done
: >"$HOME/stop"
wait "$disturb"
