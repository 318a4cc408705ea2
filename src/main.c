/* The tables of commands and of names, and nothing else. */
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/quote.h"
#include "base/version.h"
#include "cmd/cloud.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/completion_shells.h"
#include "proc/own_image.h"

/* The options: described at column 29, as the common ones of cmd.c, with no line above 80
 * columns. */
static const char add_files_help[] =
    "Prints URI<TAB>path for each file, in the order given. A file that fails is\n"
    "told, the others go on, and the exit status is 1.\n\n"
    "  -r, --recursive            all files below directories, in byte order of their\n"
    "                             paths; links to directories are not followed, and\n"
    "                             links to files only if they are yours, root's, of\n"
    "                             the file's owner, or lead to a file in the tree\n"
    "      --index                with -r: store an index of each named directory,\n"
    "                             with the paths, hashes and sizes of its files, and\n"
    "                             print its URI at the end. None if a file failed\n"
    "      --exclude GLOB         leave out what matches; may be given several times.\n"
    "                             *.tmp: files and directories of such a name at any\n"
    "                             depth; raw/*.tmp, /raw: such a path below the\n"
    "                             directory (/raw: or whole path); cache/: only\n"
    "                             directories. * and ? stop at /, ** does not; [a-z]\n"
    "                             and \\ as in a shell. What is left out is not read\n"
    "      --label L              add ?label=L to the URIs\n"
    "      --label-names          add each file's name as label\n"
    "      --files-from F         read more paths from F (- is standard input), one\n"
    "                             per line (Windows line ends are taken off)\n"
    "  -0, --null                 these are separated by NUL, not by newlines, and\n"
    "                             taken byte for byte\n"
    "      --jobs N               hash in N processes (default: one per core)\n"
    "      --no-manifest          do not make the manifest, by which parts of a file\n"
    "                             above 262144 bytes are proven to who reads them\n"
    "      --json                 print an array of {uri, path, size, error}\n";

static const char ls_help[] =
    "States: ok, stale (the file was changed since it was linked), damaged, missing.\n"
    "Nothing is read but names, sizes and times; verify reads the files.\n\n"
    "Prints state, kind, size, manifest (yes, no, or - where none is needed), URI\n"
    "and path, separated by tabs, in aligned columns on a terminal. What is not known\n"
    "is -. `link`, or `store-local`, of the file again makes a missing manifest.\n\n"
    "      --json                 print an array of {uri, path, size, kind, state,\n"
    "                             manifest}\n";

static const char verify_help[] =
    "Without URIs: everything, with its manifest. Exit status 1 when something is not\n"
    "as it should be. A stale link, or a damaged manifest, is made good by linking\n"
    "the file again, a damaged copy by storing it again, or by removing it and\n"
    "loading it again. Without URIs it also removes what killed processes left in the\n"
    "store, when it is old. Prints what ls prints; with -q only those that are not\n"
    "ok.\n\n"
    "      --json                 print an array of {uri, path, size, kind, state,\n"
    "                             manifest}\n";

static const char unlink_help[] =
    "A URI: its link (all paths), its stored copy, and what is beside them. A PATH:\n"
    "that path alone; other paths with the same content stay shared, and the first\n"
    "of them takes its place. The files themselves are never touched.\n"
    "Prints URI<TAB>path for each that was removed.\n"
    "Exit status: 3 when nothing of it is in the local store.\n\n"
    "      --json                 print an array of {uri, path, kind, error}\n";

static const char init_help[] =
    "Asks for what is not given; a pipe may bring the answers, one a line. What the\n"
    "file has already is kept, or offered.\n\n"
    "      --config FILE          the file (default: ./kachery-resource.yaml)\n"
    "      --name N               the resource's name\n"
    "      --zone Z               its zone (default: KACHERY_ZONE, else default)\n"
    "      --max-uploads K        uploads at the same time (default: 2)\n"
    "      --proxy-url URL        the resource proxy\n"
    "      --proxy-secret-file F  its secret is the first line of F\n"
    "      --no-input             never ask\n";

static const char share_help[] =
    "Runs until SIGTERM or SIGINT; running uploads then have some seconds to finish.\n"
    "Lease and status are kept beside the config, so that two never share one\n"
    "resource.\n\n"
    "      --config FILE          the file that `init` wrote\n"
    "                             (default: ./kachery-resource.yaml)\n"
    "      --log FILE             log there instead of stderr; SIGHUP opens it anew\n"
    "      --log-size BYTES       start another log when it is so long, such as 10MB\n"
    "                             (default: 10MB; 0: never)\n"
    "      --log-keep N           keep N old ones, FILE.1 the newest (default: 5)\n"
    "      --audit FILE           one line of JSON for each request answered, file\n"
    "                             uploaded and file opened to be read in parts:\n"
    "                             `help login-node`\n"
    "      --cron                 if the resource is shared already, from any host,\n"
    "                             end in silence with exit status 0; if the proxy\n"
    "                             has another daemon of that name, end with one\n"
    "                             line in the log and exit status 0\n";

static const char status_help[] =
    "Works on every host that sees the folder of the config. Whether a daemon runs is\n"
    "in its lease: on another host than the daemon's it is watched until it moves,\n"
    "for at most 12 s. Everything else is from the status file, which the daemon\n"
    "writes on a change and every 5 minutes; `help login-node` explains it. With -v\n"
    "hashes are in full, and all are there that were asked for in vain.\n"
    "Exit status: 0 a daemon runs, 3 none does, 1 not clear (with the reason).\n\n"
    "      --config FILE          the daemon's (default: ./kachery-resource.yaml)\n"
    "      --json                 print the status file and alive (null: not clear),\n"
    "                             leaseAgeMs, host, pid, reason, cron\n"
    "      --watch                print it again every 2 s\n";

static const char stop_help[] =
    "On the daemon's own host by SIGTERM, on any other by a request in its folder,\n"
    "which it sees within 10 s. Running uploads then have some seconds to finish.\n"
    "Exit status: 0 it has ended, 3 none ran, 4 it has not ended in time.\n\n"
    "      --config FILE          the daemon's (default: ./kachery-resource.yaml)\n"
    "      --wait SEC             wait so long for the end (default: 15)\n";

static const char doctor_help[] =
    "Looks at config, folder, lease, keys, store, links, limits of this host, name\n"
    "servers, HTTP proxy, TLS, gateway (its clock, the zone, this client's rights),\n"
    "where uploads go, the proxy's secret, the name, and the way in from outside; in\n"
    "under 10 s, with a daemon that runs or without one, which is not disturbed.\n"
    "Run it as the user and with the environment of `share`. Prints a line for each\n"
    "check: ok, warn or FAIL, the check, what was found, and the cure; with -q none\n"
    "that is ok. Exit status: 1 when a check fails.\n\n"
    "      --config FILE          the file that `init` wrote\n"
    "                             (default: ./kachery-resource.yaml)\n"
    "      --json                 print an array of {check, ok, detail, cure, level}\n";

static const char store_help[] =
    "Prints URI<TAB>path for each file. A file that fails is told, the others go on,\n"
    "and the exit status is 1. With KACHERY_STORE_FILE_DIR set, copies to that folder\n"
    "instead.\n\n"
    "      --label L              add ?label=L to the URIs\n"
    "      --cache-locally        keep a copy in the local store too\n"
    "      --json                 print an array of {uri, path, size, error}\n";

#define RESOURCE_HELP                                                                              \
    "      --resource URL|NAME    whom to ask (default: KACHERY_RESOURCE_URL)\n"

static const char request_help[] =
    "Prints local, completed, running, queued, not-found or error.\n"
    "Exit status: 0 local or completed, 1 error, 3 not found, 4 queued or running.\n\n"
    RESOURCE_HELP
    "      --timeout SEC          wait at most so long, such as 2 or 0.5 (default: 5;\n"
    "                             with --wait: no limit)\n"
    "      --wait                 wait until the upload is done\n"
    "      --json                 one object, as request_file of the Python client\n";

static const char load_help[] =
    "Looks in the local store, then in the zone, then reads from a connected host if\n"
    "the hub does that; else it asks the resource to upload, and waits.\n"
    "Of two or more URIs, or with --files-from, it prints URI<TAB>path for each, in\n"
    "the order given. One that fails is reported, the others go on, and the exit\n"
    "status is 1.\n"
    "Exit status: 3 when nobody has the file, or any of those that failed.\n\n"
    "  -o, --output FILE          write it to FILE, not to the local store\n"
    "  -d, --directory DIR        write files into DIR (made if missing), called by\n"
    "                             their labels, else by their hashes; two of one\n"
    "                             name: name.ext, name-2.ext. What has that name\n"
    "                             already is replaced. The index of a folder (from\n"
    "                             `link -r --index`; its label ends with /) becomes\n"
    "                             the folder; what is there and right is kept\n"
    "      --files-from F         read more URIs from F (- is standard input), one\n"
    "                             per line; what `link` prints will do\n"
    "      --jobs N               get N files at the same time (default: 4)\n"
    "      --max-size BYTES       download no more than that (default: what the zone\n"
    "                             or the bucket says, else 5000000000)\n"
    RESOURCE_HELP
    "      --no-request           do not ask any resource\n";

static const char url_help[] =
    "Prints the URL at which the hub reads the file to everybody, from its zone or\n"
    "from the host that shares it: for h5py, zarr, browsers and whatever opens a URL.\n"
    "Only the parts that are read leave the host; see `help ranges`. When nobody has\n"
    "the file now, the URL works as soon as somebody shares it.\n\n"
    "With --expires, and where downloads of the zone are not public, the URL is a\n"
    "share link: for whoever has it, until it expires (7 days without --expires) or\n"
    "is revoked, as long as you may read the file. Exit status: 3 when --revoke finds\n"
    "no such link.\n\n"
    "      --name N               the file's name in the URL (default: the label in\n"
    "                             the URI, else none)\n"
    "      --expires TIME         90m, 12h, 7d, or the date (UTC) with whose begin\n"
    "                             it expires: 2027-03-01\n"
    "      --list                 your share links: expiry, id, URI; for an\n"
    "                             administrator, those of the zone\n"
    "      --revoke               revoke the share link with that URL or id, or all\n"
    "                             of yours to the URI\n"
    "      --json                 print an object {url, expires}, with --list a list\n"
    "                             of {id, uri, name, clientId, created, expires},\n"
    "                             with --revoke {revoked}; times in ms since 1970\n";

static const char cat_help[] =
    "Gets the whole file into the local store first where it is not here. Of a part\n"
    "it gets only that part, and keeps nothing. It is checked by the file's manifest\n"
    "where a hub has that and shows it; of another part it warns that it could not be\n"
    "checked.\n"
    "Exit status: 3 when nobody has the file.\n\n"
    "      --start N              from byte N (the first is 0)\n"
    "      --end M                up to byte M, which is not printed any more, or to\n"
    "                             the end\n"
    RESOURCE_HELP;

static const char info_help[] =
    "Says \"readable from a connected host, not in the zone\" where a hub would read\n"
    "it from there. Exit status: 3 when neither the zone nor a host has it.\n\n"
    "      --json                 the gateway's answer, without the signed URL\n";

static const char register_help[] =
    "Registers this user's keys with the zone, at once where a hub of this program\n"
    "lets everybody (--open-registration). Elsewhere prints a link to be opened in a\n"
    "browser and waits until that is done. Prints the client ID. Keys that are there\n"
    "are kept.\n\n"
    "      --label L              what to call this client (default: the host's name)\n"
    "      --no-wait              do not wait\n\n"
    "Exit status: 1 when the gateway refuses, with what it says.\n";

#define LISTEN_HELP                                                                                \
    "      --listen HOST:PORT     where to listen (port 0: any free one); else all\n"              \
    "                             addresses on the port that PORT names\n"
#define SECRET_HELP                                                                                \
    "      --secret-file F        the secret that daemons must know is the first line\n"           \
    "                             of F, which is made (32 random characters) if there\n"           \
    "                             is none; else PROXY_SECRET\n"
#define GATEWAY_HELP                                                                               \
    "      --data DIR             the zone's files and objects; created if missing\n"              \
    "      --zone NAME            the zone's name (default: default)\n"                            \
    "      --public-url URL       how clients reach this server (default: the Host\n"              \
    "                             that they use)\n"                                                \
    "      --open-registration    who has a registration link may register by it, and\n"           \
    "                             upload: for loopback and trusted networks\n"
#define TRUSTED_HELP                                                                               \
    "      --trusted-proxy A      address (ADDRESS/BITS; several with commas) of a\n"              \
    "                             reverse proxy in front of this server: what it\n"                \
    "                             says in X-Forwarded-For is believed\n"
#define CACHE_HELP                                                                                 \
    "      --cache-bytes N        of blocks that it keeps of hosts' files (default:\n"         \
    "                             a tenth of the file system); see help ranges\n"               \
    "      --find-on-hosts        the gateway also finds what only a connected host\n"            \
    "                             has; see help hub\n"
#define LIMITS_HELP                                                                                \
    "\nLIMITS, beyond which who comes is told 503:\n\n"                                           \
    "      --max-connections N    at the same time (default: 20000, fewer where\n"                 \
    "                             descriptors are few); when it is full, the longest\n"            \
    "                             idle one is closed for who comes\n"                              \
    "      --max-per-address N    of them, of one client address or IPv6 /64\n"                    \
    "                             (default: 16000: behind NAT, many clients have one\n"            \
    "                             address); daemons that know the secret do not count\n"
#define PROXY_LIMITS_HELP                                                                          \
    LIMITS_HELP                                                                                    \
    "      --max-waiting N        requests that wait for daemons (default: 20000)\n"               \
    "      --max-per-resource N   of them, for one resource (default: 10000)\n"                    \
    "      --max-resources N      connected daemons (default: 10000); then an address\n"           \
    "                             with more than its part loses its newest\n"

#define OBJECTS_HELP                                                                               \
    "\nBeside it, or beside a hub, in the same directory (see their --help):\n\n"                  \
    "  gateway verify             read the objects and compare their hashes\n"                     \
    "  gateway rm                 take objects out\n"

static const char gateway_verify_help[] =
    "Without URIs: all objects of the directory, or of one zone. It steps back behind\n"
    "what else the machine does, and may be ended at any moment: the next run goes on\n"
    "behind the last object that it printed. A hub that runs learns at once what is\n"
    "found: a damaged object is not found any more, and the next upload replaces it.\n"
    "Prints ok, damaged or missing<TAB>size<TAB>object key for each; with -q only\n"
    "those that are not ok. Exit status: 1 when one is damaged or cannot be read,\n"
    "else 3 when one that was named is missing.\n\n"
    "      --data DIR             the directory of the gateway or hub\n"
    "      --zone NAME            the zone (default: of URIs the directory's own, else\n"
    "                             all)\n";

static const char gateway_rm_help[] =
    "Takes objects out of the directory of a gateway or hub that may be running.\n"
    "Prints ok, damaged or missing<TAB>size<TAB>object key for each. If a good upload\n"
    "replaces a damaged object at that moment, it stays. Exit status: 3 when none of\n"
    "them was there.\n\n"
    "      --data DIR             the directory of the gateway or hub\n"
    "      --zone NAME            the zone (default: the directory's own)\n";

static const char demo_help[] =
    "Starts a hub and a daemon on loopback, shares FILE (default: 8 MiB of random\n"
    "bytes), requests and downloads it from a second store, and compares the bytes.\n"
    "Then it reads the middle of a second file of 8 MiB, which is never uploaded,\n"
    "from a third place, and says how many bytes left the host.\n"
    "All is in a temporary folder (in TMPDIR, else /tmp; it takes twice the size of\n"
    "FILE), which is removed at the end. With -q only the URI is printed.\n\n"
    "      --keep                 leave everything running; print how to try it by\n"
    "                             hand\n";

static const char help_help[] =
    "Lists topics and commands when none is named.\n\n"
    "      --man                  print a man page instead: of the topic, of the\n"
    "                             command, or of everything\n";

static const char completion_help[] =
    "The script completes commands, options, topics, files and folders, and addresses\n"
    "of the local store. Its first lines say where it goes.\n";

/* One row per command: name, function, arguments, summary, help. */
const struct cmd cmd_table[] = {
    {"init", cmd_init,
     "[--config FILE] [--name N] [--zone Z] [--max-uploads K] [--proxy-url URL] "
     "[--proxy-secret-file F] [--no-input]",
     "write kachery-resource.yaml: what is shared, where to", init_help},
    {"share", cmd_share,
     "[--config FILE] [--log FILE] [--log-size BYTES] [--log-keep N] "
     "[--audit FILE] [--cron]",
     "run the daemon: upload linked files when somebody asks", share_help},
    {"status", cmd_status, "[--config FILE] [--json | --watch]",
     "tell whether the daemon runs, where, and how it does", status_help},
    {"stop", cmd_stop, "[--config FILE] [--wait SEC]", "end the daemon, on whichever host it is",
     stop_help},
    {"doctor", cmd_doctor, "[--config FILE] [--json]",
     "find what keeps the daemon from its work, with the cure", doctor_help},
    {"link", cmd_link,
     "PATH... [-r] [--index] [--exclude GLOB]... [--label L | --label-names] "
     "[--files-from FILE|-] [-0] [--jobs N] [--no-manifest] [--json]",
     "put files into the local store by reference: they stay in place", add_files_help},
    {"store-local", cmd_store_local,
     "PATH... [-r] [--index] [--exclude GLOB]... [--label L | --label-names] "
     "[--files-from FILE|-] [-0] [--jobs N] [--no-manifest] [--json]",
     "put files into the local store by copy", add_files_help},
    {"ls", cmd_ls, "[--json]", "list the local store", ls_help},
    {"verify", cmd_verify, "[URI...] [--json]",
     "read what is in the local store and compare its hashes", verify_help},
    {"unlink", cmd_unlink, "URI|PATH... [--json]",
     "stop sharing files: remove links and stored copies", unlink_help},
    {"store", cmd_store, "FILE... [--label L] [--cache-locally] [--json]",
     "upload files to the zone now", store_help},
    {"request", cmd_request, "URI [--resource URL|NAME] [--timeout SEC] [--wait] [--json]",
     "ask a resource to put a file into the zone", request_help},
    {"load", cmd_load,
     "URI... [-o FILE | -d DIR] [--files-from FILE|-] [--jobs N] [--max-size BYTES] "
     "[--resource URL|NAME] [--no-request]",
     "print where files are, getting first what is not here", load_help},
    {"url", cmd_url,
     "URI [--name N] [--expires TIME] [--json]  |  URI|URL|ID --revoke  |  --list [--json]",
     "print a URL at which any program reads a file",
     url_help},
    {"cat", cmd_cat, "URI [--start N] [--end M] [--resource URL|NAME]",
     "write a file, or a part of it, to standard output", cat_help},
    {"info", cmd_info, "URI [--json]", "tell what the zone knows of a file", info_help},
    {"register", cmd_register, "[--label L] [--no-wait]",
     "create this client's keys and register it with the zone", register_help},
    {"proxy", cmd_proxy, "--listen HOST:PORT [--secret-file F] [--trusted-proxy A] [LIMITS]",
     "relay requests of remote clients to daemons",
     LISTEN_HELP SECRET_HELP TRUSTED_HELP PROXY_LIMITS_HELP},
    {"gateway", cmd_gateway,
     "--listen HOST:PORT --data DIR [--zone NAME] [--public-url URL] [--open-registration] "
     "[--trusted-proxy A] [LIMITS]",
     "a zone with its bucket in a directory",
     LISTEN_HELP GATEWAY_HELP TRUSTED_HELP LIMITS_HELP OBJECTS_HELP},
    {"hub", cmd_hub,
     "--listen HOST:PORT --data DIR [--secret-file F] [--zone NAME] [--public-url URL] "
     "[--open-registration] [--cache-bytes N] [--find-on-hosts] [--trusted-proxy A] [LIMITS]",
     "proxy and gateway on one port",
     LISTEN_HELP SECRET_HELP GATEWAY_HELP CACHE_HELP TRUSTED_HELP PROXY_LIMITS_HELP},
    {"demo", cmd_demo, "[FILE] [--keep]", "do the whole job on loopback, to see it work",
     demo_help},
    {"help", cmd_help, "[TOPIC | COMMAND] [--man]",
     "print a topic, a command's options, man pages", help_help},
    {"completion", cmd_completion, "bash|zsh|fish",
     "print the script by which a shell completes these commands", completion_help},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct cmd cmd_sub_table[] = {
    {"gateway verify", cmd_gateway_verify, "[URI...] --data DIR [--zone NAME]",
     "read the objects of a gateway's directory and compare their hashes", gateway_verify_help},
    {"gateway rm", cmd_gateway_rm, "URI... --data DIR [--zone NAME]",
     "take objects out of a gateway's directory", gateway_rm_help},
    {NULL, NULL, NULL, NULL, NULL},
};

#define LABEL_HELP "      --label TEXT           default: the file's name\n"

/* The Python tools' names, by which this program may be called: symbolic links to it. */
const struct cmd cmd_cloud_table[] = {
    {"kachery-cloud-store", cloud_store, "[--cache-locally] [--label TEXT] FILENAME",
     "upload a file to the zone and print its URI",
     "      --cache-locally        keep a copy in the local store too\n" LABEL_HELP},
    {"kachery-cloud-store-local", cloud_store_local, "[--reference] [--label TEXT] FILENAME",
     "copy a file into the local store and print its URI",
     "      --reference            store nothing; the URI tells where the file is\n" LABEL_HELP},
    {"kachery-cloud-link", cloud_link, "[--label TEXT] FILENAME",
     "put a file into the local store by reference and print its URI", LABEL_HELP},
    {"kachery-cloud-load", cloud_load, "[--dest FILE] URI",
     "print the path of a file, getting it first where it is not here",
     "      --dest FILE            copy it there\n"},
    {"kachery-cloud-load-info", cloud_load_info, "URI", "print what the zone knows of a file",
     NULL},
    {"kachery-cloud-cat", cloud_cat, "URI", "write a file to standard output", NULL},
    {"kachery-cloud-init", cloud_init, "", "create this client's keys and register it", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

const struct cmd *const completion_tables[] = {cmd_table, cmd_sub_table, cmd_cloud_table, NULL};

static void print_overview(FILE *out)
{
    fprintf(out, "usage: kachery-resource COMMAND [ARGUMENTS]\n\n"
                 "Shares a lab's files on demand: link them in place, and they are uploaded when\n"
                 "somebody asks.\n\n");
    for (const struct cmd *row = cmd_table; row->name != NULL; row++)
        fprintf(out, "  %-12s %s\n", row->name, row->summary);
    fprintf(out, "\n`kachery-resource COMMAND --help` has the options of a command,\n"
                 "`kachery-resource help` texts: quickstart, login-node, hub, files and more.\n"
                 "Exit status: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not finished in\n"
                 "time.\n\n"
                 "Called by one of these names (symbolic links), it is the Python tool:\n");
    for (const struct cmd *row = cmd_cloud_table; row->name != NULL; row++)
        fprintf(out, "  %s\n", row->name);
}

/* The part of `path` behind its last slash. */
static const char *program_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static int run_command(int argc, char **argv)
{
    const char *name = argc < 2 ? "" : argv[1];
    char quoted[QUOTE_SIZE];
    const struct cmd *row = cmd_find(cmd_table, name);

    if (row->name != NULL)
        return row->run(argc - 1, argv + 1);
    if (argc < 2) {
        print_overview(stderr);
        return CMD_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_overview(stdout);
        return cmd_finish("--help", CMD_OK);
    }
    if (strcmp(name, "--version") == 0) {
        puts("kachery-resource " VERSION);
        return cmd_finish(name, CMD_OK);
    }
    fprintf(stderr, "kachery-resource: unknown command \"%s\" (see kachery-resource --help)\n",
            quote_str(quoted, str_of(name)));
    return CMD_USAGE;
}

int main(int argc, char **argv)
{
    const char *called = argc < 1 ? "" : program_base_name(argv[0]);
    const struct cmd *row = cmd_find(cmd_cloud_table, called);

    struct err e;

    cmd_start();
    if (cpu_load(&e) != 0) {
        fprintf(stderr, "kachery-resource: %s\n", e.msg);
        return CMD_USAGE;
    }
    own_image_detach();
    if (row->name == NULL)
        return run_command(argc, argv);
    argv[0] = (char *)row->name;
    return row->run(argc, argv);
}
