/* init: asks, or takes from its options, what the config holds; says what comes next. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/env.h"
#include "base/text_file.h"
#include "cmd/cmd.h"
#include "cmd/commands.h"
#include "cmd/next_steps.h"
#include "cmd/prompt.h"
#include "daemon/config.h"

static const struct init_question {
    const char *option, *text, *fallback;
} questions[CONFIG_KEYS] = {
    [CONFIG_NAME] = {"--name", "Name of the resource (letters, digits, . _ ~ -)", NULL},
    [CONFIG_ZONE] = {"--zone", "Kachery zone", CONFIG_DEFAULT_ZONE},
    [CONFIG_UPLOADS] = {"--max-uploads", "Uploads at the same time (1-64)", "2"},
    [CONFIG_PROXY] = {"--proxy-url", "URL of the resource proxy", NULL},
    [CONFIG_SECRET] = {"--proxy-secret-file", "Secret of the resource proxy (not shown)", NULL},
};

struct init {
    const char *config_path, *secret_file;
    const char *given[CONFIG_KEYS]; /* from the options; the secret's file is apart */
    bool no_input, has_terminal;
    struct config config;
};

/* The file's first line. */
static int read_secret_file(const char *path, struct config *c, struct err *e)
{
    struct buf text = {0};
    int result = text_file_read_secret(path, &text, e);

    if (result == 0)
        result = config_set(c, CONFIG_SECRET, buf_str(&text), e);
    buf_wipe(&text);
    return result == 0 ? 0 : err_wrap(e, "--proxy-secret-file");
}

static int take_options(struct init *init, struct err *e)
{
    for (int key = 0; key < CONFIG_KEYS; key++) {
        if (init->given[key] == NULL)
            continue;
        if (config_set(&init->config, (enum config_key)key, str_of(init->given[key]), e) != 0)
            return err_wrap(e, "%s", questions[key].option);
    }
    return init->secret_file == NULL ? 0 : read_secret_file(init->secret_file, &init->config, e);
}

static const char *fallback_of(const struct init *init, enum config_key key)
{
    const char *zone = env_get("KACHERY_ZONE");

    if (init->config.values[key] != NULL)
        return init->config.values[key];
    return key == CONFIG_ZONE && zone != NULL ? zone : questions[key].fallback;
}

/* Asks until the answer is good; a pipe has one answer for each question. An empty answer takes
 * what is offered. ERR_NOT_FOUND: there are no more answers. */
static int ask_for_key(struct init *init, enum config_key key, struct err *e)
{
    const char *offered = fallback_of(init, key);
    bool is_secret = key == CONFIG_SECRET;
    struct buf answer = {0};
    int result;

    do {
        buf_clear(&answer);
        result = prompt_ask(questions[key].text,
                            is_secret && offered != NULL ? "keep the present one" : offered,
                            is_secret, &answer, e);
        if (result != 0)
            break;
        struct str text = answer.len > 0 ? buf_str(&answer) : str_of(offered);
        result = config_set(&init->config, key, text, e);
        if (result != 0 && init->has_terminal)
            fprintf(stderr, "%s\n", e->msg);
    } while (result != 0 && init->has_terminal);
    buf_wipe(&answer);
    return result;
}

static bool is_given(const struct init *init, enum config_key key)
{
    return init->given[key] != NULL || (key == CONFIG_SECRET && init->secret_file != NULL);
}

/* Takes the offered value, or sets the error that names the option. */
static int take_fallback(struct init *init, enum config_key key, struct err *e)
{
    const char *offered = fallback_of(init, key);

    if (offered == NULL)
        return err_set(e, ERR_USAGE, "%s is not known: give %s", config_key_name(key),
                       questions[key].option);
    return config_set(&init->config, key, str_of(offered), e);
}

/* Somebody is there; or something cannot be known without the answers that a pipe may bring. A
 * script that gives everything waits for no input. */
static bool is_asking(const struct init *init)
{
    bool is_known = true;

    for (int key = 0; key <= CONFIG_SECRET; key++)
        is_known = is_known && fallback_of(init, (enum config_key)key) != NULL;
    return !init->no_input && (init->has_terminal || !is_known);
}

static int complete_answers(struct init *init, struct err *e)
{
    bool asks = is_asking(init);

    for (int i = 0; i <= CONFIG_SECRET; i++) {
        enum config_key key = (enum config_key)i;
        int result = -1;
        if (asks && !is_given(init, key)) {
            result = ask_for_key(init, key, e);
            if (result != 0 && (init->has_terminal || e->code != ERR_NOT_FOUND))
                return -1;
            asks = result == 0;
        }
        if (result != 0 && take_fallback(init, key, e) != 0)
            return -1;
    }
    return 0;
}

/* Ctrl-C waits for the moment that it takes, so that no temporary file is left. */
static int save_config(const struct init *init, struct err *e)
{
    sigset_t all, before;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    int result = config_save(&init->config, init->config_path, e);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return result;
}

static int run_init(struct init *init, bool is_quiet)
{
    struct err e = {0};

    init->has_terminal = isatty(STDIN_FILENO);
    if (config_load(&init->config, init->config_path, &e) != 0 && e.code != ERR_NOT_FOUND) {
        cmd_warn("init", &e);
        return CMD_FAILED;
    }
    if (take_options(init, &e) != 0 || complete_answers(init, &e) != 0) {
        cmd_warn("init", &e);
        return e.code == ERR_USAGE ? CMD_USAGE : CMD_FAILED;
    }
    if (save_config(init, &e) != 0) {
        cmd_warn("init", &e);
        return CMD_FAILED;
    }
    if (!is_quiet)
        next_steps_print(&init->config, init->config_path);
    return CMD_OK;
}

int cmd_init(int argc, char **argv)
{
    struct init init = {.config_path = CONFIG_DEFAULT_PATH};
    const struct cmd_option options[] = {
        {.name = "config", .value = &init.config_path, .is_path = true},
        {.name = "name", .value = &init.given[CONFIG_NAME]},
        {.name = "zone", .value = &init.given[CONFIG_ZONE]},
        {.name = "max-uploads", .value = &init.given[CONFIG_UPLOADS]},
        {.name = "proxy-url", .value = &init.given[CONFIG_PROXY]},
        {.name = "proxy-secret-file", .value = &init.secret_file, .is_path = true},
        {.name = "no-input", .flag = &init.no_input},
        {0},
    };
    struct cmd_args args = {.options = options};
    int status = cmd_parse("init", argc, argv, &args);

    if (status >= 0)
        return status;
    status = run_init(&init, args.is_quiet);
    config_deinit(&init.config);
    return cmd_finish("init", status);
}
