"""Pages for selections: as shops and manuals have them, and odd ones."""

SHOP = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>All books | Bookshop</title>
<link rel="stylesheet" href="/s.css"></head>
<body class="home page"><header id="top"><a href="/" class="logo">Bookshop</a>
<nav><ul class="menu"><li class="active"><a href="/books">Books</a></li><li><a href="/music">Music
 &amp; more</a></li><li><a href="/about" rel="nofollow">About</a></li></ul></nav></header>
<main><h1>All books <small>(1000)</small></h1>
<section class="grid" data-page="1">
<article class="book featured" data-id="11"><h3><a href="/b/11" title="A Light in the Attic">A Light
 in …</a></h3><p class="price">£51.77</p><p class="stock in">In stock <b>(22)</b> today</p>
<form action="/basket"><button type="submit" disabled>Add</button></form></article>
<article class="book" data-id="12"><h3><a href="/b/12" title="Tipping &quot;the&quot; Velvet"
>Tipping
</a></h3><p class="price sale"><s>£60.00</s> £53.74 <em>now</em></p><p class="stock">Sold out</p>
</article>
<article class="book" data-id="13"><h3><a href="/b/13" title="">Soumission</a></h3>
<p class="price">£50.10</p><img src="/i/13.jpg" alt="Cover &lt;13&gt;"></article>
</section>
<div class="pager"><span class="current">Page 1 of 50</span><a class="next" href="?page=2">next</a>
</div></main><footer><p>© Bookshop</p></footer></body></html>"""

QUOTES = """<!DOCTYPE html>
<html><head><title>Quotes</title></head><body><div class="container"><div class="row"><div
class="col-md-8"><div class="quote" itemscope><span class="text" itemprop="text">“It's a &lt;b&gt;
old move, and you can't do it.”</span><span>by <small class="author">Jane Doe</small>
<a href="/author/Jane-Doe">(about)</a></span><div class="tags">Tags:
<meta class="keywords" content="change,deep-thoughts"><a class="tag" href="/tag/change/">change</a>
<a class="tag" href="/tag/deep-thoughts/">deep-thoughts</a></div></div>
<div class="quote"><span class="text">“Second &mdash; quote.”</span><span>by <small
class="author">André Gide</small></span><div class="tags">Tags: <a class="tag"
href="/tag/life/">life</a></div></div><div class="quote empty"><span class="text"></span><div
class="tags"></div></div><blockquote cite="/q">Outer <div class="quote inner"><span
class="text">Inner</span> between <q>deep</q> end</div> tail</blockquote></div><div
class="col-md-4 tags-box"><h2>Top Ten tags</h2><span class="tag-item"><a class="tag"
style="font-size: 28px" href="/tag/love/">love</a></span></div></div></div></body></html>"""

DOCS = """<!DOCTYPE html>
<html><head><title>os.path &#8212; Pathnames</title><script>var a = "<b>no</b>" && 1;</script>
</head><body><div class="document"><h1>os.path<a class="headerlink" href="#os-path">¶</a></h1>
<dl class="py function"><dt id="os.path.abspath"><code class="descname">abspath</code>(<em>path</em>
)<a href="#os.path.abspath">¶</a></dt><dd><p>Return a <em>normalized</em> version of <code>path
</code>, see <a href="#n"><code>normpath()</code></a>.</p><p>Second.</p></dd>
<dt id="os.path.basename"><code
class="descname">basename</code>(<em>path</em>)</dt><dd><p>Base.</p></dd></dl>
<ul class="toc"><li>One<ul><li>One.a</li><li class="deep">One.b<ul><li>One.b.i</li></ul></li></ul>
</li><li>Two</li><li id="last">Three <b>bold</b> after</li></ul>
<table class="docutils"><thead><tr><th>Name</th><th>Type</th></tr></thead><tbody>
<tr class="row-even"><td>a</td><td><code>int</code></td></tr>
<tr class="row-odd"><td>b</td><td colspan="2">str</td></tr>
</tbody></table>
<div class="highlight"><pre>>>> import os
<span class="k">def</span> f(x):
    <span class="k">return</span> x &lt; 1 &amp;&amp; "é"
</pre></div><p lang="de-AT">Grüße</p>
<form><fieldset disabled><legend><input name="l" type="text"></legend><input name="f"><select
name="s"><option value="1" selected>eins</option><option value="2">zwei</option></select></fieldset>
<input type="checkbox" name="c" checked><input type="RADIO" name="r" checked><input name="free">
<textarea disabled>t</textarea></form></div></body></html>"""

ODD = """<!DOCTYPE html>
<html><head><title>
   Odd  page </title></head><body data-x='single "quoted"' data-y=bare data-empty data-void="">
<p id="ws">  two  spaces
\t tab &nbsp; nbsp </p><p id="ent">&lt;tag&gt; &amp;amp; &copy; &#x263A; &#9731; &euro;5</p>
<p id="comment">before<!-- <a href="no">no</a> -->after<!-- x --></p><p id="only"><!-- only --></p>
<p id="empty"></p><p id="br">one<br>two<br>three</p><hr>
<div id="nest">1<div>2<div>3</div>4<div>5</div>6</div>7</div>
<a name="anchor">no href</a><a href="">empty href</a><a href=" /spaced ">spaced</a>
<noscript><img src="pixel.gif" alt="p"></noscript><style>p > a { color: red }</style>
<div class="  many   classes
here ">c</div><div id="a.b:c" class="a:b">esc</div><div id="123">digits</div>
<ruby>漢<rt>kan</rt></ruby><input value="a&amp;b" DISABLED><x-card kind="custom">custom</x-card>
<p class="price">1<b>2</b>3</p><p class="price">total: <i>1</i>23</p></body></html>"""

PAGES = {"shop": SHOP, "quotes": QUOTES, "docs": DOCS, "odd": ODD}
