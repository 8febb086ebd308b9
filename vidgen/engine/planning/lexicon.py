"""The words that the offline planner reads: what moves, what is small, what is wide, what the camera is told.

English only, and only to choose framing and camera moves: a prompt in any other language is broken into shots all
the same. Knows nothing of storyboards.
"""

import re

from vidgen.types import CameraMove


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _third(verb: str) -> str:
    """The form of he, she and it."""
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + "s"


def _participle(verb: str) -> str:
    """The form in -ing."""
    if verb in IRREGULAR:
        return IRREGULAR[verb]
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    doubled = len(verb) < 5 and re.search(r"[^aeiou][aeiou][bgmnpt]$", verb)
    return verb + (verb[-1] if doubled else "") + "ing"


IRREGULAR = {
    "lie": "lying", "tie": "tying", "begin": "beginning", "open": "opening", "nod": "nodding", "stir": "stirring",
}

MOVED_BY_VERBS = {
    CameraMove.PAN_RIGHT: """chase cross cycle dash drift drive flee fly gallop glide hike hurry jog jump leap march
        migrate paddle pass pedal race ride roam roll run rush sail skate ski slide sprint stroll sweep swim travel
        walk wander follow stampede cruise hop trot flow stride""",
    CameraMove.TILT_UP: "ascend climb emerge float grow launch lift loom rise soar sprout erupt",
    CameraMove.TILT_DOWN: "cascade crash descend dive drip fall land plunge rain sink sit kneel pour set",
    CameraMove.ORBIT: "circle dance encircle gather orbit rotate spin surround swirl twirl turn whirl",
    CameraMove.PUSH_IN: """approach examine gaze look notice peer read reveal smile stare study watch weep whisper
        write listen inspect""",
    CameraMove.PULL_OUT: "leave depart disappear fade vanish stretch",
}
OTHER_VERBS = """appear arrive bake bark blossom blow bounce break breathe bring burn burst carry catch come cook
    creep cry curl cut discover drink eat enter explode explore fight find fill flap flicker flutter begin bloom glow go
    grab graze greet grin hatch hide hold howl hug hunt kiss laugh lean lick lie lurk meet melt move nod open
    pause perch pick play pounce pull push raise reach return ripple roar sell settle shake shatter shimmer shine sing
    sleep sniff sparkle speak splash spread stalk stand start stir stop stumble swing take talk throw touch transform
    try unfold wait wake wear wipe work yawn see hover plant give make get wield hear feel lose win tell call show keep
    help draw serve shoot feed offer lead guide guard protect search seek wash clean brush strike hit kick toss juggle
    wag drag dig bury hang tie wrap spill fry taste smell sip blink wink clap cheer shout scream argue pray meditate bob
    sway tremble gleam glitter twinkle hum buzz chirp slip lower tug knock crawl scatter collide duel slice chop row"""
MOVED_BY_THINGS = {
    CameraMove.PAN_RIGHT: """skyline horizon landscape river train road highway street coast coastline parade cars
        traffic caravan fleet panorama beach shore""",
    CameraMove.TILT_UP: """tall tower towers towering skyscraper skyscrapers cathedral rocket giant lighthouse
        redwood redwoods column columns cliff cliffs monument tree trees pyramid pyramids""",
    CameraMove.TILT_DOWN: "waterfall waterfalls snowfall rainfall canyon abyss snowflakes",
    CameraMove.ORBIT: "around statue sculpture carousel whirlpool vortex spiral dancer dancers campfire pedestal",
    CameraMove.PUSH_IN: """face faces eye eyes detail details lips hand hands tear tears door doorway tunnel portal
        window corridor portrait""",
    CameraMove.PULL_OUT: "vast endless infinite immense universe galaxy farewell goodbye crowd",
}

BASES = _words(" ".join([*MOVED_BY_VERBS.values(), OTHER_VERBS]))
FINITE = frozenset(_third(verb) for verb in BASES)
PARTICIPLES = frozenset(_participle(verb) for verb in BASES)

MOVES: dict[str, CameraMove] = {
    form: move for move, verbs in MOVED_BY_VERBS.items() for verb in verbs.split()
    for form in (verb, _third(verb), _participle(verb))
} | {word: move for move, words in MOVED_BY_THINGS.items() for word in words.split()}
"""A word of the prompt to the camera move that shows it."""

DETERMINERS = _words("""a an the this that these those his her its their my our your some many several one two three
    four five six seven eight nine ten hundreds thousands another each every no countless both""")
DETERMINERS_ELSEWHERE = _words("un une le la les des el los las una der die das ein eine einen um uma il lo gli")
POSSESSIVES = _words("his her its their")
ADJECTIVES = _words("""old young big small little large huge tiny beautiful ancient dark bright lone lonely wild golden
    red blue green white black misty foggy rainy snowy sunny stormy abandoned futuristic cozy long high""")
PRONOUNS = _words("he she it they")
PLURALS = _words("men women people children mice geese fish sheep deer police oxen")
LINKS = _words("""about above across after against along amid among around as at before behind below beneath beside
    between beyond by down during for from in inside into like near of off on onto out over past through to toward
    towards under until up upon via where which who whose whom with within without while when that because but or so
    if and then""")
ADVERBS = _words("slowly quickly gently softly suddenly quietly again away there here back together")
AUXILIARIES = _words("is are was were be been being has have had can will would could does do")
SMALL_WORDS = _words("a an the and or but nor of in on at to by for from with into over as per via")

CLOSE_WORDS = _words("""face faces eye eyes detail details lips hand hands finger fingers tear tears petal petals
    droplet droplets dewdrop ring letter insect bee ant spider texture textures macro coin keyhole candle matchstick
    feather snowflake whisper whispers smile smiles""")
WIDE_WORDS = _words("""landscape landscapes city cityscape skyline mountain mountains ocean sea valley valleys desert
    horizon crowd forest jungle sky galaxy planet army coast coastline field fields canyon battlefield village glacier
    island prairie savanna tundra harbor harbour metropolis dunes hills panorama vista""")
CALM_WORDS = _words("calm quiet still peaceful serene silent tranquil sleeping sleeps asleep rests motionless gentle")

DETAILS: dict[str, str] = {
    thing: detail for line in """
    forest jungle woods tree trees = bark, leaves and the light between them
    ocean sea wave waves surf beach = foam and spray on the water
    river stream lake waterfall pond = ripples and light on the water
    mountain mountains cliff canyon peak = rock and shadow along the ridge
    city street streets skyline market = lit windows and passing reflections
    fire campfire candle flames = embers and sparks
    robot android machine = joints, seams and small lights
    dragon dragons = scales and breath
    cat cats kitten dog dogs puppy fox wolf lion tiger bear horse horses deer rabbit = the eyes and the fur
    bird birds eagle owl hummingbird swan = the eye and the feathers
    car cars truck train motorcycle bus = wheels, chrome and reflections
    ship boat sailboat ships boats = ropes and wet wood
    flower flowers rose garden meadow field = petals and stems
    desert dunes sand = grains of sand in the wind
    snow ice winter glacier = crystals and frost
    castle temple ruins cathedral church = worn stone and carvings
    man woman girl boy child children people person king queen knight astronaut dancer chef = the face and the hands
    rain storm = falling drops
    night stars galaxy sky clouds = the slow drift of light""".strip().splitlines()
    for things, _, detail in [line.partition(" = ")] for thing in things.split()
}
"""A thing to the small part of it that a close-up shows."""

_HOW = r"(?:(?:very |then )?(?:slow|slowly|gently|quickly|smoothly) )?"
_TO = r"(?:to |toward |towards )?(?:the )?"
_SAID = (
    (CameraMove.PULL_OUT, rf"zoom(?:s|ing)?[ -]{_HOW}out"),
    (CameraMove.PULL_OUT, rf"(?:pull|dolly|dollie)(?:s|ing)?[ -]{_HOW}(?:back|out|away)"),
    (CameraMove.PUSH_IN, rf"(?:zoom|push|pushe|dolly|dollie)(?:s|ing)?[ -]{_HOW}in|zoom(?:s|ing)? on"),
    (CameraMove.PAN_LEFT, rf"(?:pan|truck)(?:s|n?ing)? {_HOW}{_TO}left"),
    (CameraMove.PAN_RIGHT, rf"(?:pan|truck)(?:s|n?ing)? {_HOW}{_TO}right"),
    (CameraMove.TILT_UP, rf"(?:tilt|crane)(?:s|ing)? {_HOW}up(?:wards?)?|camera (?:rises|climbs)"),
    (CameraMove.TILT_DOWN, rf"(?:tilt|crane)(?:s|ing)? {_HOW}down(?:wards?)?"),
    (CameraMove.ORBIT, r"orbit(?:s|ing)? (?:shot|around)|camera (?:orbits|circles|spins)|360[ -]degrees?"),
    (CameraMove.STATIC, r"(?:static|locked[ -]off|still|fixed|stationary) (?:shot|camera|frame)"),
    (CameraMove.STATIC, r"camera (?:holds|stays)"),
    (CameraMove.PAN_RIGHT, r"(?:tracking|panning) shot|camera (?:pans|follows|tracks)|pan(?:s|ning)? (?:across|over)"),
)
ASKED_MOVES: tuple[tuple[re.Pattern[str], CameraMove], ...] = tuple(
    (re.compile(rf"\b(?:{words})\b", re.IGNORECASE), move) for move, words in _SAID
)
"""What a prompt says of the camera in so many words; the first that matches is obeyed."""

ASKED_FRAMING = re.compile(
    r"\b(?P<size>(?:(?:slow |smooth |static )?(?:extreme |big )?close[ -]?up|macro|tight)(?: shot| view| detail)?"
    r"|(?:medium|mid|waist|cowboy|two)[ -](?:wide |long |close )?shot"
    r"|(?:extreme |ultra[ -])?(?:wide|long|establishing|aerial|drone|bird'?s[ -]eye|overhead|panoramic)"
    r"(?:[ -]angle)?(?: establishing)?[ -](?:shot|view|footage)"
    r"|(?:low|high|dutch)[ -]angle(?:[ -](?:shot|view))?|(?:tracking|panning|orbit|pov|point[ -]of[ -]view)[ -]shot)\b",
    re.IGNORECASE,
)
"""What a prompt says of the framing in so many words."""

CAMERA_LED = re.compile(
    rf"(?:(?:the |a )?camera\b|{'|'.join(words for _, words in _SAID)})(?:\s+(?:of|on|over|across)\b)?",
    re.IGNORECASE,
)
"""At the head of a clause: words that are for the camera, not in the picture."""

LOOK_WORDS = _words("""cinematic 4k 8k hd uhd hdr imax photorealistic realistic hyperrealistic photoreal detailed
    anime cartoon watercolor watercolour painterly noir grain grainy 35mm 16mm 70mm vintage retro lighting bokeh epic
    moody pixel poly claymation timelapse masterpiece 3d cgi volumetric stylized stylised monochrome sepia ghibli
    dramatic""")
LOOK_HELPERS = _words("""highly ultra very hyper oil painting style film slow motion soft hard warm cold natural golden
    hour shallow depth of field art low high quality resolution render light and black white stop lapse time color
    colors colour colours vivid rich muted in studio the""")

KNOWN = frozenset().union(DETERMINERS, PRONOUNS, LINKS, ADVERBS, FINITE, PARTICIPLES, BASES, CLOSE_WORDS, WIDE_WORDS,
                          CALM_WORDS, DETAILS, MOVES, ADJECTIVES, LOOK_WORDS, LOOK_HELPERS,
                          {"timelapse", "footage", "montage", "scene", "view"})
"""Words that are certainly not names, so that their capital can go."""
