/** @file The script with which bash completes emoq's command line. */

/**
 * Passes words on as they are typed, and offers words as they are: neither is evaluated. A word may hold a `$(...)`,
 * and the words of a command line include its `> file`.
 */
export const bashCompletion = `# bash completion for emoq

__emoq_complete() {
    local cur prev words cword
    _get_comp_words_by_ref -n "=:" cur prev words cword

    # A line for each word, "WORD<tab>DESCRIPTION", then ":N", where N says which paths are added.
    local lines line directive
    mapfile -t lines < <(emoq complete -- "\${words[@]:1:cword-1}" "$cur" 2>/dev/null)
    [[ \${#lines[@]} -eq 0 ]] && return
    directive=\${lines[-1]#:}
    unset 'lines[-1]'

    COMPREPLY=()
    if (( directive & 16 )); then
        compopt -o dirnames
        return
    fi
    if (( directive & 4 )); then
        compopt +o default
    fi
    for line in "\${lines[@]}"; do
        COMPREPLY+=("$(printf '%q' "\${line%%$'\\t'*}")")
    done
    __ltrim_colon_completions "$cur"
}

complete -o default -F __emoq_complete emoq`;
