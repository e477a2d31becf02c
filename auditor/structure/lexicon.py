"""Words that tell where sentences go on and where they begin. Lower case, without their last stop."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TITLES = _words(
    """
    mr mrs ms dr prof st gen col sgt capt lt rev hon pres gov sen rep messrs mme mlle fr herr frau sr sra srta
    dña г-н г-жа им ул пр тов акад проф д-р св обл р-н пос дер д
    """
)
"""What follows them is a name, so a capital says nothing."""
BEFORE_NUMBERS = _words(
    """
    no nos nr p pp fig figs eq eqs sec secs ch vol art par ex prob thm ca approx est min max temp ref tab jan feb
    mar apr jun jul aug sep sept oct nov dec рис табл стр гл разд п пп ст № ок прим с
    """
)
"""A number behind them belongs to the sentence."""
INSIDE = _words(
    """
    vs e.g i.e cf viz resp incl excl al ibid op cit bzw d.h z.b u.a ggf usw evtl inkl zzgl p.ej ej т.е т.к т.н
    напр ср
    """
)
"""Something follows them that belongs to the sentence."""
AT_ENDS = _words(
    """
    etc inc ltd corp jr sr u.s u.k u.n e.u d.c a.m p.m b.c a.d ph.d m.d ft oz lb lbs hr hrs mins dept univ г гг
    т.д т.п др пр руб коп тыс млн млрд чел шт кг км см мм м ч мин сек н.э
    """
)
"""They may end a sentence: a capital behind them decides."""
NAMED = _words(
    """
    is are be was were = option choice variable point plan answer case type grade part
    """
)
"""Behind them a single letter is a name, not the initial of a person."""
OPENERS = _words(
    """
    the this that these those he she it they we you there so then thus hence therefore since because if when
    after before now next first second third finally also and but in on at for to from with by as each every all
    both one his her its their our your my an however altogether similarly let given assuming once while until
    total using adding subtracting multiplying dividing which what how where yes no not only another other half
    twice
    """
)
"""English words of closed classes, and the verbs of reckoning: with a capital inside a line they open a clause."""
BINDING = _words(
    """
    a an the of to for from in on at by with and or nor than as that which who whom whose is are was were be
    been has have had do does did will would can could should must may might his her their its our your my per
    if when because while so then but only about into onto over under after before between during each every no
    not both either equals equal times plus minus gives gave made took named called like cost costs needs need
    makes make spends pays it's that's earns leaves any given last mr. mrs. ms. dr. st. x
    """
)
"""Behind them the sentence is not over."""
CALENDAR = _words(
    """
    monday tuesday wednesday thursday friday saturday sunday january february march april may june july august
    september october november december english french german spanish chinese arabic hindi russian
    """
)
"""Capitals inside a sentence."""
