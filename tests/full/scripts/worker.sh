# worker.sh NAME TIMES
number=0
while [ "$number" -lt "$2" ]; do
	number=$((number + 1))
	rm "evil-$1-$number"
	tool "good-$1-$number"
done
