/* The same as `survey_in_python` and `binary_in_python` in survey.py say of a page, in a quarter of
   the time. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* With so many tags nobody asks which they are, but for a <base>. */
#define HARMLESS 2000
/* From so many different elements on each is taken for another one. With more tags than those the
   page is suspicious by then (see `_is_suspicious` in markup.py). */
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

/* The letters of a name, in lower case, one after the other from the lowest byte on. */
typedef uint64_t Name;

#define LONGEST 6 /* letters in any that is looked for */

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

/* Return the name of a tag that may be a formatting element with attributes, or <base>; 0 for
   another. `text` is what comes after the `<`. */
static Name
name_of(const char *text, const char *end)
{
    if (!begins_a_name(*text) || (end - text > 3 && memcmp(text + 1, "pan", 3) == 0))
        return 0; /* <span> is the commonest that begins so, and is none */
    Name name = 0;
    for (int size = 0; text < end; text++, size++) {
        char c = lower(*text);
        if (c < 'a' || c > 'z')
            return is_space(c) || c == '/' ? name : 0;
        if (size == LONGEST)
            return 0;
        name |= (Name)c << 8 * size;
    }
    return 0;
}

#define NAME(a, b, c, d, e, f)                                                                   \
    ((Name)(a) | (Name)(b) << 8 | (Name)(c) << 16 | (Name)(d) << 24 | (Name)(e) << 32 |          \
     (Name)(f) << 40)

static bool
is_base(Name name)
{
    return name == NAME('b', 'a', 's', 'e', 0, 0);
}

static bool
is_formatting(Name name)
{
    switch (name) {
    case NAME('b', 0, 0, 0, 0, 0):
    case NAME('b', 'i', 'g', 0, 0, 0):
    case NAME('c', 'o', 'd', 'e', 0, 0):
    case NAME('e', 'm', 0, 0, 0, 0):
    case NAME('f', 'o', 'n', 't', 0, 0):
    case NAME('i', 0, 0, 0, 0, 0):
    case NAME('s', 0, 0, 0, 0, 0):
    case NAME('s', 'm', 'a', 'l', 'l', 0):
    case NAME('s', 't', 'r', 'i', 'k', 'e'):
    case NAME('s', 't', 'r', 'o', 'n', 'g'):
    case NAME('t', 't', 0, 0, 0, 0):
    case NAME('u', 0, 0, 0, 0, 0):
        return true;
    default:
        return false;
    }
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

/* Say whether nobody will ask which tags a page has: they are few, and none is a <base>.

   `tags` is then how many. Counted in pieces, and without a branch, so that the compiler has
   sixteen bytes done at once. */
static bool
is_harmless(const char *page, Py_ssize_t size, Py_ssize_t *tags)
{
    unsigned char base = 0;
    *tags = 0;
    for (Py_ssize_t start = 0; start < size && *tags <= HARMLESS; start += UCHAR_MAX) {
        const char *at = page + start;
        const Py_ssize_t left = size - start, piece = left < UCHAR_MAX ? left : UCHAR_MAX;
        const Py_ssize_t whole = piece < left - 2 ? piece : left - 2; /* with two bytes after it */
        unsigned char count = 0;
        for (Py_ssize_t i = 0; i < piece; i++)
            count += at[i] == '<';
        for (Py_ssize_t i = 0; i < whole; i++)
            base |= (at[i] == '<') & ((at[i + 1] | 0x20) == 'b') & ((at[i + 2] | 0x20) == 'a');
        *tags += count;
    }
    return *tags <= HARMLESS && !base;
}

/* Say which tags a page has: how many, of how many different formatting elements, and whether one
   is a <base>. */
static Py_ssize_t
look(const char *at, const char *end, Py_ssize_t *tags, bool *has_base)
{
    const char *past = at; /* the end of the last tag that was like formatting */
    Formatting found = {0};

    *tags = 0;
    while (at < end && (at = memchr(at, '<', (size_t)(end - at))) != NULL) {
        ++*tags;
        at++;
        Name name = at > past && at < end ? name_of(at, end) : 0;
        if (name == 0)
            continue;
        past = memchr(at, '>', (size_t)(end - at));
        past = past != NULL ? past : end;
        if (is_base(name))
            *has_base = true;
        else if (is_formatting(name))
            count(&found, at, (size_t)(past - at));
    }
    return found.goes_on ? found.all : found.different;
}

static PyObject *
survey(PyObject *Py_UNUSED(module), PyObject *page)
{
    if (!PyBytes_Check(page))
        return PyErr_Format(PyExc_TypeError, "a page is bytes, not %s", Py_TYPE(page)->tp_name);
    const char *text = PyBytes_AS_STRING(page);
    const Py_ssize_t size = PyBytes_GET_SIZE(page);
    Py_ssize_t tags, formatting = 0;
    bool has_base = false;
    if (!is_harmless(text, size, &tags))
        formatting = look(text, text + size, &tags, &has_base);
    return Py_BuildValue("nnO", tags, formatting, has_base ? Py_True : Py_False);
}

/* 1 for a byte that no text has (MIME Sniffing standard, section 3), else 0.

   With the signs of arithmetic: of logical ones the compiler makes what it does to one byte only. */
static inline unsigned char
is_binary(unsigned char c)
{
    return (c < 0x20) - (c == '\t') - (c == '\n') - (c == '\f') - (c == '\r') - (c == 0x1B);
}

static PyObject *
binary(PyObject *Py_UNUSED(module), PyObject *page)
{
    if (!PyBytes_Check(page))
        return PyErr_Format(PyExc_TypeError, "a page is bytes, not %s", Py_TYPE(page)->tp_name);
    const unsigned char *at = (const unsigned char *)PyBytes_AS_STRING(page);
    Py_ssize_t left = PyBytes_GET_SIZE(page), found = 0;
    while (left > 0) {
        const Py_ssize_t piece = left < UCHAR_MAX ? left : UCHAR_MAX;
        unsigned char count = 0; /* as small as the bytes, so that many are done at once */
        for (Py_ssize_t i = 0; i < piece; i++)
            count += is_binary(at[i]);
        found += count;
        at += piece;
        left -= piece;
    }
    return PyLong_FromSsize_t(found);
}

static PyMethodDef METHODS[] = {
    {"binary", binary, METH_O, "Return how many bytes of a page no text has: see survey.py."},
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
