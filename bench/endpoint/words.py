"""Short and common English words: what prompts are made of where no tokenizer is known.

Each is one token, with a blank before it and without, in a byte-level vocabulary of 49,152 tokens; larger vocabularies
hold words this common too. How many tokens they are to a given server is measured by the probe.
"""

_TEXT = """
able about above accept act action active add after again against age ago air all allow almost alone along already
also although always among amount an and animal another answer any apple area arm around art as ask at attack aunt
away baby back bad bag ball bank bar base basic basis be bear beat because bed been before begin being below best
better between big bill bird birth bit black block blood blow blue board boat body book born both bottom box boy
branch bread break bridge bright broad brother brown build building built burn bus business but buy by call came
camp can cap car care case cat catch cause cell center central century certain chain chair change character charge
chart check chief child children choice choose church circle city claim class clean clear clock close cloth cloud
club coast coat code cold collect color column come common company compare complete condition consider continue
control cook cool copy corn correct cost could count country course court cover create crop cross culture cup
current cut dark data date daughter day dead deal death deep degree depend design develop did die difference
different difficult direct distance divide do doctor does dog dollar done door double down draw dream drive drop dry
due during dust each ear early earth east easy eat edge effect egg eight either electric element else end energy
engine enough enter equal even event ever every exact example except exercise expect experience eye face fact factor
fail fair fall family famous far farm fast fat father feed feel feet felt few field fight figure fill film final
find fine finger finish fire first fish fit five flat floor flow flower fly follow food foot for force foreign
forest form forward found four free fresh friend from front fruit full fun function future game gas gate general get
girl give glass go gold gone good got govern grand grass gray great green ground group grow growth guess guide gun
had hair half hand happy hard has hat have he head health heart heat heavy held help her here high hill him his
history hit hold hole home horse hospital hot hour house how however human hundred ice idea if image in inch include
industry inside instead interest into iron is issue it item job join joint jump just keep key kill kind king know
lake land language large last late law lay lead learn least leave led left leg length less let letter level lie life
lift light like line list listen little live local long look lost lot love low machine made magic mail main major
make man many map mark market master match material matter may me mean measure meat member men metal method middle
might mile milk million mind mine minute miss mix modern moment money month moon more most mother motion mouth move
much music must my name nation natural nature near necessary neck need never new news next night nine no noise nor
normal north nose note nothing noun now number object ocean of off offer office often oil old on once one only open
or order other our out outside over own oxygen page pair paper parent park part party pass past path pattern pay
people perfect perhaps period person picture piece place plain plan plane planet plant play please point poor
popular population port position possible post pound power practice present press pretty price print private problem
process product program public pull purpose push put quality quart question quick quiet quite race radio rail rain
raise ran range rate rather reach read ready real reason receive record red region remember repeat reply report
represent require rest result return rich ride right ring rise river road rock role roll room root round row rule
run safe said salt same sand sat save say scale school science sea search season seat second secret section see seed
select self sell send sense sent service set seven several shape share sharp she ship shirt shop shore short should
show side sight sign similar simple since sing single sit six size skill skin sky sleep slow small snow so social
soft soil solution solve some son song soon sort sound source south space special speech speed spot spring square
stand star start state station stay step stick still stone stood stop store story stream street strong student study
subject such sugar summer sun supply support surface system table tail take talk tall team tell ten term test than
that the their them then there these they thick thin thing think third this those though thought three through time
tiny to today together tone too tool top total touch town track trade train travel tree trip true trust try tube
turn two type under unit until up upon us use usual value very view visit voice wait walk wall want war warm was
wash watch water wave way we wear weather week weight well went were west what wheel when where whether which while
white who whole whose why wide wife wild will win wind window winter with woman women wood word work world would
write wrong yard year yellow yes yet you young your
"""

WORDS: tuple[str, ...] = tuple(_TEXT.split())
