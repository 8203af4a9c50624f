# Makes the first key of a server and prints it.
#
#   . benches/http/key.sh; KEY=$(first_key BASE GREETING)
#
# GREETING is the file that the server's standard output goes to.
first_key() {
    until grep -q 'T=qt_' "$2"; do sleep 0.02; done
    curl -s "$1/v1/api-keys" -H "authorization: Bearer $(sed -n 's/^ *T=//p' "$2")" \
        -H 'content-type: application/json' -d '{"scopes": ["admin"]}' | sed -n 's/.*"secret":"\([^"]*\)".*/\1/p'
}
