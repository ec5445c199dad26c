# What people write: an agent, the checks, a commit, and again; two tries a task, and back to the last commit after that.
# $1: how to start the agent. Seconds and the agent's limits are those that the runner has.
for file in tasks/pending/*.md; do
  [ -e "$file" ] || continue
  task=$(basename "$file" .md)
  landed=no
  for try in 1 2; do
    if timeout "$TIMEOUT" $1 --print --output-format stream-json --verbose < "$file" > /dev/null 2>&1 && sh check.sh; then
      mv "$file" tasks/done/
      git add -A
      git commit -q -m "feat: complete $task"
      landed=yes
      break
    fi
    sleep "$RETRY_DELAY"
  done
  if [ "$landed" = no ]; then
    git reset -q --hard
    git clean -fdq
    mv "$file" tasks/failed/
    git add -A
    git commit -q -m "chore: $task failed"
  fi
done
