"""Whether words say that a contrast agent was given, in several languages."""

from __future__ import annotations

import re

# Words of a place, an operation or a technique that look like words of a contrast agent.
_NO_AGENT = re.compile(
    r"(?:post(?:erior)?|pre)[^a-z]*(?:fossa|op|surg|treat|rt|mort|proc|radi|therap|chem|biops|resec|tx|embol|ablat|trauma|"
    r"stroke|ictal|partum|shunt|chir|srs|dbs|clip|fall|void|ivf|exerc|feed|train|sat|scan|week|wk|month|year|yr|day|"
    r"(?!contr|inj|inf|adm|appl|perf|sup|nav|acq|loc)\w{2,}(?:[eo]ctomy|[eo]tomy|ostomy|plast[iy]|plant|scopy|ment|"
    r"[stc]ion))\w*|(?<![a-z])c[^a-z+]*(?:spine|sp|wirbel|t)(?![a-z0-9])|(?<![a-z])ai ?ce(?![a-z])|"
    r"(?<![a-z])(?:gr[ae]y|white|low|high|soft|tissue|invert\w*|inversion)[^a-z0-9]+contrast|"
    r"(?<![a-z])edge enhanc\w*|(?<![a-z])enhanced resol\w*|"
    r"(?:(?<=t1c[ -])|(?<=t1ce[ -])|(?<=t1gd[ -]))pre(?![a-z])|(?<![a-z])pre(?=[ -]t1(?:ce?|gd)(?![a-z0-9]))"
)
_AGENT = "|".join(
    (
        r"gd|gad|gado\w*|gad\w+|gdp?tpa|ce|km|kontrast\w*|contrast\w*|mdc|civ|iv ?c|inj|injecte\w*|injection",
        r"dotarem|magnevist|pro ?hance|multi ?hance|omniscan|clariscan|vueway|elucirem|primovist|eovist|ablavar",
        r"контраст\w*|(?<!\w)к[ув](?!\w)|kontrastli|kontrastem|kontraszt\w*|varjoaine\w*|teho(?:ste\w*)?|k l",
        r"σκιαγραφικ\w*|(?:חומר )?ניגוד|(?:ماد[ةه] )?تباين|صبغة",
    )
)
_LATER = "nach|apres|after|dopo|despues"
_PHASES = "|".join(
    (
        r"arteri(?:al|el|os)\w*(?! wall)|port(?:al|o)\w*|vei?n(?:os|oes|ous|eu)\w*|hbp|spat(?!ial)\w*",
        r"hepato(?:bil|spe)\w*",
        r"ne(?:ph|f)rog?ra\w*|urogra\w*|excretor\w*|cortico ?-?medull\w*|pancreatic phase|equilibri\w*|tardi\w*",
        r"tetnicz\w*|wrotn\w*|zyln\w*|артериальн\w*|венозн\w*|отсроченн\w*",
    )
)
_GIVEN = re.compile(
    "|".join(
        (
            rf"(?<![a-z0-9])(?:{_AGENT}|delay(?:ed)?|lge|cta|cect|ct ?angio\w*)(?![a-z0-9])",
            # Phases of a liver or a kidney, and "art" beside a sequence that is fast enough for them.
            rf"(?<![a-z])(?:{_PHASES})(?![a-z])|(?:动脉|静脉|门脉|延迟|動脈|静脈|門脈|平衡|평형|동맥|문맥)[期相기]",
            r"(?<![a-z])(?:art|ven|late|tard) (?:phase|fase|faza)",
            r"(?:phase|fase|temps|tps|faza) (?:art|ven|late|tard)(?![a-z])",
            r"(?<![a-z])(?:vibe|lava|e?-?thrive)(?![a-z])(?:.*[^a-z])?(?:art|pv|\d+ ?min)(?![a-z])",
            r"^ph ?(?:[2-9]|1\d)(?![\d.]).*(?:lava|vibrant|spgr|t1)",  # of GE a pass after the first one
            r"(?<![a-z0-9])(?:avec|con|com|met|mit|with) iv(?![a-z])",
            rf"(?<![a-z0-9])(?:cont|enh(?:anced|ancement)?|po(?= k)|(?:{_LATER})(?= *$))(?![a-z0-9])",
            rf"(?<![a-z0-9])\d+ ?min\w* (?:p ?i|post|{_LATER})(?![a-z])",
            rf"(?<![a-z0-9])(?:{_LATER})[^a-z0-9]+(?:\w+ )?"
            rf"(?:{_AGENT}|[ie] ?v|bolus|gabe|appl\w*|\d+ ?min\w*)(?![a-z0-9])",
            r"(?<![a-z0-9])post(?:con\w*|gad\w*|gd|km|k| ?\d{1,2})?(?![a-z0-9])|(?<![a-z0-9])pos(?= ?$|[^a-z]*[cg])",
            r"(?:gad|gd|km|k)post(?![a-z])|iv ?\+|\+(?= *$)",
            r"(?<![a-z])t1 ?-?(?:k(?![a-z0-9])(?! +(?:s|f))|con(?= *$| +(?:ax|cor|tra|iv|cte)(?![a-z])))",
            # A lone "w" is weighted; "with" says with what, or stands last.
            r"(?<![a-z0-9])(?:(?:with|mit|avec|com|met|med|w ?/)(?= *$)|(?:with|w) ?/? ?(?:gad\w*|gd|con\w*))",
            r"(?<![a-z])(?:[23]d)?t1w?i? ?-?(?:gad\w+|(?:pc|c|ce|gd|gad|km|ks|post)(?:gd|gad\w*|con\w*)?(?![a-z0-9]))",
            r"c ?\+|\+ ?(?:c|gd|gad\w*|km|k|contrast|ce|inj\w*)(?![a-z])|(?<![a-z])t1\w{0,2} ?\+|\( ?\+ ?\)",
            r"(?<![a-z0-9])c$|\( ?c ?\)|增强|强化|造影|(?<!강)조영",
        )
    )
)
_WITHOUT = (
    r"non?|without|w ?/ ?o|wo|ohne|sans|sin|sem|senza|zonder|bez|без|до|vor|voor|avant|antes|prima|before|przed|pred|"
    r"for|fore|uten|utan|uden|ilman|ss|av|fara|χωρις|בלי|ללא|بدون"
)
_THE = r"(?:(?:d[aeio]\w{0,3}|l[aeo]s?|il|the|het)[^a-z0-9]+)?"
_NOT_GIVEN = re.compile(
    "|".join(
        (
            r"(?<![a-z0-9])(?:pre(?:con\w*|gad\w*|gd|km)?|unenhanced|nativ\w*|plain|non ?-?con\w*)(?![a-z0-9])",
            r"(?<![a-z0-9])(?:basale|simple|dirett[oa]|blanco|n[ce]ct)(?![a-z0-9])",
            rf"(?<![a-z0-9])(?:{_WITHOUT}|(?<!i )[ov](?= km)|s(?= mdc| civ))[^a-z0-9]*{_THE}(?:{_AGENT})(?![a-z0-9])",
            r"(?<![a-z0-9])(?:ohne|sans|senza|zonder|without|w ?/ ?o|wo|uten|utan|uden|ilman)(?![a-z0-9])",
            rf"(?<![a-z0-9])(?:{_AGENT})(?:[^a-z0-9]*(?:neg\w*|oncesi)|-?(?:frei|free)(?![a-z]))",
            r"kontrasts[iı]z|nelkul",
            r"(?<![a-z0-9])(?:s ?/|(?:c ?|ce|km?|gd|gado?)-(?= |$))|(?<= )-(?:c|km|gd|gad)(?![a-z0-9])|\( ?- ?\)",
            r"нативн|平扫|[无非未](?:增强|强化|造影)|単純|(?:增强|造影剂?|조영) ?[前전]",
        )
    )
)
_BOTH = re.compile(
    "|".join(
        (
            r"with ?(?:and|&|/|\+) ?w|w ?/? ?(?:and|&|/|\+) ?w ?/? ?o|pre[^a-z]+(?:and|&|\+|/)?[^a-z]*post",
            r"mit[^a-z]+und ohne|avec et sans|con (?:y|e) (?:sin|senza)|com e sem|\+ ?/ ?-|±",
        )
    )
)


def says_agent(plain: str) -> bool | None:
    """Whether a text, in lower case and without accents, says that a contrast agent was given; None where it does not.

    Example:
        >>> says_agent("t1 post gd"), says_agent("t1 ohne km"), says_agent("t1")
        (True, False, None)
    """
    plain = _NO_AGENT.sub(" ", plain)
    if _BOTH.search(plain):
        return None
    if _NOT_GIVEN.search(plain):
        return False
    return True if _GIVEN.search(plain) else None
