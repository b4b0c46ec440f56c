/* The same as `survey_in_python` in survey.py says of a page, in a quarter of the time. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* From so many different elements on each is taken for another one. Where there are 2,000 tags,
   and below that nobody asks, the page is suspicious by then (see `_is_suspicious` in markup.py). */
#define MOST 192
#define SLOTS 512 /* a power of two, well above MOST: a search always comes to an empty one */

typedef struct {
    const char *text; /* NULL: the slot is empty */
    size_t size;
    uint32_t hash;
} Element;

typedef struct {
    Py_ssize_t different;
    Py_ssize_t all;
    bool goes_on; /* one of them may not end where its text does */
    Element slots[SLOTS];
} Formatting;

static const char *const FORMATTING[] = {"b",     "big",    "code",   "em", "font", "i", "s",
                                         "small", "strike", "strong", "tt", "u"};
#define LONGEST 6 /* letters in any of them */

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

/* ASCII only, whatever the locale; of what is no letter it makes none. */
static char
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool
begins_a_name(char c)
{
    switch (lower(c)) {
    case 'b': case 'c': case 'e': case 'f': case 'i': case 's': case 't': case 'u':
        return true;
    default:
        return false;
    }
}

/* Return how many letters the name of a tag has that may be a formatting element with attributes,
   or <base>; 0 for another. `text` is what comes after the `<`. */
static size_t
name_of(const char *text, const char *end, char name[LONGEST + 1])
{
    if (!begins_a_name(*text) || (end - text > 3 && memcmp(text + 1, "pan", 3) == 0))
        return 0; /* <span> is the commonest that begins so, and is none */
    size_t size = 0;
    while (text + size < end) {
        char c = lower(text[size]);
        if (c < 'a' || c > 'z')
            break;
        if (size == LONGEST)
            return 0;
        name[size++] = c;
    }
    name[size] = '\0';
    const char *after = text + size;
    return after < end && (is_space(*after) || *after == '/') ? size : 0;
}

static bool
is_formatting(const char *name)
{
    for (size_t i = 0; i < sizeof FORMATTING / sizeof *FORMATTING; i++)
        if (strcmp(name, FORMATTING[i]) == 0)
            return true;
    return false;
}

/* Say whether a tag, up to its first `>`, may be cut within a value: its last quote of a kind
   follows a `=`. */
static bool
is_cut(const char *text, size_t size, char quote)
{
    while (size > 0 && text[size - 1] != quote)
        size--;
    if (size == 0)
        return false;
    for (size--; size > 0 && is_space(text[size - 1]); size--)
        ;
    return size > 0 && text[size - 1] == '=';
}

static void
count(Formatting *found, const char *text, size_t size)
{
    found->all++;
    if (found->different >= MOST) {
        found->different++;
        return;
    }
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    for (size_t i = hash % SLOTS;; i = (i + 1) % SLOTS) {
        Element *slot = &found->slots[i];
        if (slot->text == NULL) {
            *slot = (Element){text, size, hash};
            found->different++;
            found->goes_on |= is_cut(text, size, '"') || is_cut(text, size, '\'');
            return;
        }
        if (slot->hash == hash && slot->size == size && memcmp(slot->text, text, size) == 0)
            return;
    }
}

static PyObject *
survey(PyObject *Py_UNUSED(module), PyObject *page)
{
    if (!PyBytes_Check(page))
        return PyErr_Format(PyExc_TypeError, "a page is bytes, not %s", Py_TYPE(page)->tp_name);
    const char *at = PyBytes_AS_STRING(page), *const end = at + PyBytes_GET_SIZE(page);
    const char *past = at; /* the end of the last tag that was like formatting */
    Py_ssize_t tags = 0;
    bool has_base = false;
    Formatting found = {0};

    while (at < end && (at = memchr(at, '<', (size_t)(end - at))) != NULL) {
        char name[LONGEST + 1];
        tags++;
        at++;
        if (at <= past || at == end || name_of(at, end, name) == 0)
            continue;
        past = memchr(at, '>', (size_t)(end - at));
        past = past != NULL ? past : end;
        if (strcmp(name, "base") == 0)
            has_base = true;
        else if (is_formatting(name))
            count(&found, at, (size_t)(past - at));
    }
    return Py_BuildValue("nnO", tags, found.goes_on ? found.all : found.different,
                         has_base ? Py_True : Py_False);
}

static PyMethodDef METHODS[] = {
    {"survey", survey, METH_O, "Return what the tags of a page tell of it: see survey.py."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "crawler._survey",
    .m_methods = METHODS,
};

PyMODINIT_FUNC
PyInit__survey(void)
{
    return PyModuleDef_Init(&MODULE);
}
