# A repository with a history, hooks, branches and a rebase, packed, checked and cloned.
export GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat GIT_MERGE_AUTOEDIT=no
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org
export GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org
tick() {
	clock=$((clock + 60))
	export GIT_AUTHOR_DATE="$clock +0000" GIT_COMMITTER_DATE="$clock +0000"
}
clock=1700000000
commit() {
	tick
	git add -A
	git commit -m "$1"
}

git init -b main repository
cd repository
git config pack.threads 1
git config gc.auto 0
printf '#!/bin/sh\necho "checking $(git diff --cached --name-only | wc -l) files"\n' >.git/hooks/pre-commit
printf '#!/bin/sh\ngit interpret-trailers --in-place --trailer "Checked-by: hook" "$1"\n' >.git/hooks/commit-msg
chmod +x .git/hooks/pre-commit .git/hooks/commit-msg

for i in 1 2 3 4 5 6 7 8; do
	seq $((i * 40)) >"file-$((i % 3))"
	commit "Change $i"
done
git checkout -b side HEAD~4
for i in 1 2 3 4; do
	seq $((i * 7)) >"side-$i"
	commit "Side $i"
done
tick
git rebase main
tick
GIT_SEQUENCE_EDITOR='sed -i -e "2s/^pick/squash/"' GIT_EDITOR='sed -i -e "1s/$/ (both)/"' git rebase -i HEAD~3
tick
git checkout main
git merge --no-ff side -m 'Merge side'
git tag -a -m 'A version' v1
echo work >>file-1
git stash
git stash pop
git checkout -- file-1
git bisect start HEAD HEAD~8
git bisect run sh -c 'test ! -e side-1'
git bisect reset
git gc --prune=now
git fsck --full --strict
git log --graph --format='%H %an %ad %s%n%b' --date=raw --stat
cd ..
git clone "file://$PWD/repository" copy
git clone --bare repository bare.git
cd copy
git submodule add "file://$PWD/../bare.git" below || echo "submodules by file: $?"
git fetch --all
git archive --format=tar HEAD | sha256sum
git format-patch --stdout v1~3..v1 | sha256sum
git fsck
find .git/objects ../repository/.git/objects -type f | sort
git no-such-command || echo "status $?"
git -c alias.twice='!f() { git rev-parse "$1" && git rev-parse "$1"; }; f' twice HEAD
