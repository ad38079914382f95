"""A grammar of first-grade English: it writes sentences and knows how likely each of them is.

A grammar is a list of rules. A rule names a symbol (a *nonterminal*, with a capital letter in it)
and lists what may take its place; what is written in lower case is a word (a *terminal*) and stays.
Replacing nonterminals until only words are left is a *derivation*. Here the first nonterminal is
replaced each time:

    Sentence
    -> People
    -> Single[her]
    -> Who[her] ActDoes[her]
    -> mom ActDoes[her]
    -> mom AbleDoes[her]
    -> mom OrderDoes[her]
    -> mom DeedDoes[Fine]
    -> mom ReadDoes[Fine]
    -> mom reads Fine[Text]
    -> mom reads a Adj[Text] Text
    -> mom reads a ThingLook Text
    -> mom reads a big Text
    -> mom reads a big book

How to read the tables, each with a line of its own as the example:

    NOUNS     Car: car truck bus/buses
                  Car is car, truck or bus; Cars is cars, trucks or buses
    KINDS     Human = Kid | 4 Job
                  Human is a Kid or, four times as often, a Job; Humans likewise
    OTHERS    Ground: farm hill beach
                  Ground is farm, hill or beach
    ACTIONS   Live = live in the Castle | live on the Ground | live by the Water
                  LiveDo is "live in the Castle" and so on, LiveDoes "lives in ..." and LiveDid
                  "lived in ...": only the first word changes its form
    RULES     Tail = a Length tail
                  Tail is "a", a Length and "tail"
              A[X] = 3 the X | 2 a X
                  one rule for each X: A[Seat] is "the Seat" or "a Seat"; if X is a kind, A[Human]
                  is A[Kid] or, four times as often, A[Job]
              Adj[Crop Cake] = FoodLook
                  the rule for Adj[Crop], and the same one for Adj[Cake]

"a" becomes "an" before a, e, i, o and u. The words of a class are equally likely. No rule leads
back to itself: the language is finite.

What a sentence means is in who does what to what, and where: birds fly, food is eaten, the swan is
in the lake and not on the desk. Whoever can do a thing can do it in every frame: now and in the
past, on monday, with "can" and "wants to", alone, with others and by the pond.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from llmhard.arguments import OneLineParser, whole_number
from llmhard.pcfg import Grammar, Rules
from llmhard.rules import (
    action_rules,
    instantiate,
    kind_rules,
    merged,
    noun_rules,
    read_entries,
    read_nouns,
    read_rules,
    read_verbs,
    word_class,
)

# ------------------------------------------------------------------------------------- the words

NOUNS = """
# people
Kid:     girl boy kid
Job:     baker cook farmer teacher doctor nurse pilot driver singer dancer painter sailor clown
# animals
Dog:     dog puppy/puppies
Cat:     cat kitten
Bird:    bird robin owl crow
Duck:    duck swan goose/geese
Fish:    fish/fish shark whale
Hopper:  frog rabbit bunny/bunnies
Farm:    cow sheep/sheep horse pony/ponies pig goat
Wild:    lion tiger wolf/wolves fox/foxes bear
Bug:     bug ant worm snail
# things
Crop:    apple pear banana orange plum peach/peaches cherry/cherries carrot bean onion
         potato/potatoes tomato/tomatoes
Cake:    cake pie pizza cookie
Cloth:   hat coat shirt cap jacket sock shoe boot mitten
Text:    book story/stories letter card
Toy:     doll robot kite puzzle drum ball
Small:   key coin ring button pen pencil crayon box/boxes bag basket spoon fork cup bowl plate
Car:     car truck bus/buses
Bike:    bike sled
Boat:    boat ship
Plane:   plane rocket
Seat:    chair sofa bed bench/benches
Table:   table desk
Nature:  rock log leaf/leaves stick flower rose
"""

# Kinds of nouns, by what can be done with them: Tame animals are hugged, Loose things are lost and
# carried, an Owned thing can be his, hers or mine.
KINDS = """
Human     = Kid | 4 Job
Tame      = 2 Dog | 2 Cat | Bird | 2 Duck | 2 Hopper | 5 Farm
Beast     = 2 Dog | 2 Cat | 3 Bird | 3 Duck | 3 Fish | 3 Hopper | 6 Farm | 5 Wild | 4 Bug
Prey      = Cat | Bird | Duck | 2 Hopper | Farm
Alive     = 3 Beast | Human
Food      = 3 Crop | Cake
Handy     = 6 Cloth | 4 Text | 6 Toy | 12 Small
Loose     = 3 Handy | Food
Vehicle   = 3 Car | 2 Bike | 2 Boat | 2 Plane
Furniture = 3 Seat | 2 Table
Fixed     = 3 Vehicle | 2 Furniture | 4 Nature
Thing     = 5 Loose | 2 Fixed
Any       = 4 Beast | 6 Thing | Human
"""

OTHERS = """
# who
Girl:       amy lily anna meg mia
Boy:        sam ben tom max leo
My:         my his her our your their
# what there is some of
Meal:       soup rice bread cheese corn salad
Drink:      milk water juice tea
# where and when
Yard:       park zoo garden yard field forest
Home:       house barn castle kitchen
Town:       school shop store market library
Water:      lake pond river sea
Ground:     farm hill beach
Day:        monday tuesday wednesday thursday friday saturday sunday
Month:      june july december
# what somebody or something is like
HumanLook:  happy sad tired hungry sick cold kind funny nice tall old little
BeastLook:  big little old funny nice happy sad tired hungry sick black white brown
SmallLook:  big little black brown white
FoodLook:   big little nice good sweet fresh
MealLook:   hot cold good fresh nice
ThingLook:  big little old new nice red blue green yellow black white brown
TextLook:   good funny long short
NatureLook: big little nice brown green white
SpotLook:   big little old nice
HairColor:  black brown red white
EyeColor:   blue green brown black
Length:     long short little big white black brown
# how many
Number:     two three four five six seven eight nine ten
This:       this that
These:      these those
"""

# base form, third person singular, past tense
VERBS = """
bake bakes baked       bark barks barked       brush brushes brushed  buy buys bought
carry carries carried  chase chases chased     clean cleans cleaned   climb climbs climbed
close closes closed    cook cooks cooked       crawl crawls crawled   cut cuts cut
dance dances danced    dig digs dug            draw draws drew        drink drinks drank
drive drives drove     eat eats ate            feed feeds fed         find finds found
fix fixes fixed        fly flies flew          give gives gave        go goes went
have has had           help helps helped       hide hides hid         hop hops hopped
hug hugs hugged        jump jumps jumped       kick kicks kicked      like likes liked
live lives lived       look looks looked       lose loses lost        love loves loved
open opens opened      paint paints painted    pick picks picked      plant plants planted
play plays played      read reads read         ride rides rode        run runs ran
sail sails sailed      see sees saw            share shares shared    sing sings sang
sit sits sat           sleep sleeps slept      smile smiles smiled    swim swims swam
throw throws threw     walk walks walked       want wants wanted      wash washes washed
wear wears wore        write writes wrote
"""

# ------------------------------------------------------------------------------------- the rules

ACTIONS = """
# What people do with things. X says how a thing is named: Plain in two words ("the book", "two
# books"), Fine in one to three, mostly with an adjective ("a big book").
Deed[X]   = 8 Eat[X] | 4 wear X[Cloth] | 5 Read[X] | 4 Ride[X] | 3 Play[X] | 5 Care[X]
          | 6 Handle[X] | 12 Work[X]
Eat[X]    = 10 eat X[Food] | 6 eat X[Meal] | 12 drink X[Drink] | 4 cook X[Meal] | 4 cook X[Crop]
          | 9 bake X[Cake] | 8 cut X[Food] | 13 share X[Food] | 9 pick X[Crop]
Read[X]   = 9 read X[Text] | 6 write X[Text]
Ride[X]   = 6 ride X[Bike] | 7 drive X[Car] | 5 sail X[Boat] | 5 fix X[Vehicle]
Play[X]   = 4 throw X[Ball] | 5 kick X[Ball]
Care[X]   = 6 feed X[Tame] | 4 hug X[Tame] | 5 help X[Human]
Handle[X] = 9 draw X[Any] | 8 buy X[Loose] | 5 carry X[Loose] | 3 wash X[Cloth] | 2 wash X[Car]
Work[X]   = 22 open X[Door] | 22 close X[Door] | 14 clean X[Furniture] | 7 paint X[Furniture]
          | 7 fix X[Furniture] | 16 plant X[Seedling] | 4 pick X[Bloom]
# what they see, have, and feel
Mind[X] = 10 see X[Any] | 6 find X[Handy] | 3 have X[Tame] | 4 have X[Loose]
Wish[X] = 9 like X[Any] | 5 want X[Loose] | 3 want X[Tame] | 4 love X[Tame]
# alone, with others, and where to
Please   = 3 sing | 3 dance | 2 play | 2 smile | read
Move     = run | 4 dance | 4 sing | 2 sleep | 2 jump | 3 read | walk | 3 smile | 3 play | 2 cook
         | 2 draw | 2 write | 2 hide | sit | 2 eat | dig
WithName = 3 play with Name | 2 dance with Name | 2 read to Name | 2 sing to Name | write to Name
Meet     = 4 play with Friend | 4 dance with Friend | 3 sing to Friend | 3 read to Friend
         | 3 write to Friend | 3 smile at Friend | 3 look at Friend | 3 hug Friend | 4 help Friend
         | 4 look at Plain[Any] | 2 smile at Plain[Tame] | 6 play with Plain[Toy]
         | 4 play with Plain[Tame] | 3 draw with A[Tool] | 3 write with A[Tool]
Go       = 6 go to the Spot | 5 walk to the Spot | 5 run to the Spot | 4 drive to the Stop
         | 6 ride on A[Transport] | 4 ride A[Horse] | 5 climb the High | 5 jump over A[Low]
         | 4 Move | 3 swim | 6 swim in the Water | 4 sit on A[Seat] | 4 sleep on A[Seat]
         | 7 Move Around | 5 play the Instrument | 3 play a game | 3 play games | 3 sing A[Song]
         | 11 look at the Sky | 4 go home | 3 run home | 3 walk home | 2 drive home
# with what is theirs; X is the word for it: he does Own[his], they do Own[their]
Own[X]  = 7 wash X BodyPart | 7 brush X hair | 7 brush X teeth | 5 wear X Cloth | 3 wear X Cloths
        | 4 wear X ThingLook Cloth | 4 ride X Bike | 2 drive X Car | 2 fix X Vehicle
        | 3 clean X room | 3 feed X Tame | 3 hug X Tame | 3 play with X Tame | 3 play with X Toy
        | 2 kick X ball | 3 eat X Food | 4 read X Text | 4 write X name | 3 carry X Handy
        | 3 draw X Tame | 4 find X Handy | 3 help X Family | 3 hug X Family | 3 smile at X Family
        | 3 play with X Family | 2 read to X Family | 2 go to X room | 2 sleep on X bed
Keep[X] = 4 lose X Handy | 4 lose X Handys | 3 love X Family | 3 love X Tame | 2 like X Tame
        | 3 like X Handy
# All of this together, in at most four words: Order for "please", Able for "can", "will" and "wants
# to", Act for what just happens.
Order[X] = 5 Deed[Plain] | 4 Deed[Fine] | 3 Meet | 5 Go | 6 Own[X]
Able[X]  = 18 Order[X] | 2 Mind[Plain] | 2 Mind[Fine]
Act[X]   = 24 Able[X] | 3 Wish[Plain] | 3 Wish[Fine] | 6 Keep[X] | Live
Live     = live in the Castle | live on the Ground | live by the Water
# In at most three words, so that a place or a day fits as well: "mom sees two dogs on monday".
Brief = 4 Eat[Plain] | 2 Read[Plain] | Play[Plain] | 3 Care[Plain] | 3 Handle[Plain]
      | 3 Mind[Plain] | 4 Move | 3 WithName
Also  = 3 Move | WithName | Mind[Plain]
# in up to six words
Long = 6 give Friend Plain[Loose] | 6 give Friend Fine[Loose] | 2 give Friend Plain[Meal]
     | 3 give Plain[Tame] some Feed | 4 read Plain[Text] to Friend | 3 write Plain[Text] to Friend
     | 5 carry Plain[Loose] to the Spot | 4 draw Plain[Any] with A[Tool]

# What people do at work, in at most four words. Here a word of the class Job names the symbols:
# bakerDo, bakerDoes and bakerDid.
baker   = 6 bake Some[Cake] | 3 cut Some[Food]
cook    = 4 cook Some[Meal] | 4 cook Some[Crop] | 3 cut Some[Food]
farmer  = 6 feed Some[Tame] | 4 plant Some[Seedling] | 4 pick Some[Crop]
teacher = 4 read Some[Text] | 3 help Some[Kid] | 2 help Friend | 3 read to Friend
        | 3 write Some[Text]
doctor  = 7 help Some[Kid] | 4 help Friend | 3 look at Plain[Kid] | 6 look at My Sore
nurse   = 7 help Some[Kid] | 4 help Friend | 3 look at Plain[Kid] | 5 look at My Sore
pilot   = 5 fly Some[Plane] | 3 fly over the Spot | 3 fly to the Spot
driver  = 5 drive Some[Car] | 4 drive to the Stop | 2 fix Some[Car]
singer  = 2 sing | 4 sing A[Song] | 3 sing to Friend | 3 sing Around
dancer  = 2 dance | 4 dance Around | 3 dance with Friend | 2 dance to the song
painter = 5 paint Some[Furniture] | 4 paint Some[Door] | 3 paint the Home
sailor  = 5 sail Some[Boat] | 4 sail on the Water | 3 fix Some[Boat]
clown   = 3 dance with Friend | 3 smile at Friend | 3 throw Some[Ball] | 3 ride Some[Bike]

# What animals do, in at most four words: the class Dog does DogDo, DogDoes and DogDid.
Dog     = 6 DogBriefly | 4 bark at Plain[Alive] | 2 Roam | 2 Rest[Dog]
Cat     = 6 CatBriefly | 2 climb the tree | 2 Roam | 3 Rest[Cat]
Bird    = 5 BirdBriefly | 5 fly over the Spot | 3 fly to the Land | 3 Rest[Bird]
Duck    = 5 DuckBriefly | 4 swim in the Water | 3 fly over the Spot | 3 fly to the Land
        | 3 Rest[Duck]
Fish    = 6 FishBriefly | 6 swim in the sea | 2 jump in the sea | 2 Rest[Fish] | 2 live in the sea
Hopper  = 5 HopperBriefly | 4 hop over A[Low] | 4 hop to the Land | 3 Rest[Hopper]
Farm    = 5 FarmBriefly | 5 Roam | 3 Rest[Farm]
Wild    = 5 WildBriefly | 5 Roam | 3 Rest[Wild]
Bug     = 5 BugBriefly | 4 crawl on the BugSpot | 3 crawl under the BugSpot | 3 Rest[Bug]
Roam    = 3 run to the Land | 3 walk to the Land | 2 go to the Land | 2 see Fine[Alive]
        | climb the hill
Rest[X] = 3 sleep At[X] | 3 sit At[X] | 3 hide At[X] | 3 play At[X]
# in at most three words, for "the dog by the pond barks" and "the dog barks by the pond"
DogBriefly    = 12 bark | 16 dig | 2 eat some meat | 3 Legs | 7 chase Plain[Prey] | 4 Common
CatBriefly    = 5 drink some milk | 2 eat some meat | 3 Legs | 6 chase Plain[Prey] | 4 Common
BirdBriefly   = 5 fly | 4 sing | 3 eat some seeds | 4 Common
DuckBriefly   = 5 swim | 2 fly | 3 eat some seeds | 4 Common
FishBriefly   = 6 swim | jump | sleep | play | hide | eat | see Plain[Alive]
HopperBriefly = 6 hop | 3 eat some grass | 2 Legs | 4 Common
FarmBriefly   = 4 eat some grass | 2 eat some corn | 3 Legs | 5 Common
WildBriefly   = 4 eat some meat | 4 chase Plain[Prey] | 4 Legs | 5 Common
BugBriefly    = 6 crawl | 4 Common
Legs          = 3 run | 2 jump | walk
Common        = 3 sleep | 2 play | 2 hide | sit | 2 eat | 2 drink some water | 4 see Plain[Alive]
# "the fish cannot walk": always the base form
Cannot[Dog Cat Hopper Farm Wild] = 4 fly | Learn
Cannot[Bird Duck] = Learn
Cannot[Fish]      = 2 fly | 3 walk | 3 run | Learn
Cannot[Bug]       = 2 swim | Learn
Learn             = read | write | cook | drive

# what vehicles do
Car   = go to the Stop | drive to the Stop
Boat  = 4 sail on the Water | 2 sail to the beach | sail
Plane = 4 fly over the Spot | 3 fly to the Spot | fly
"""

RULES = """
Sentence = 58 People | 27 Animals | 6 AtWork | 4 Traffic | 4 Where[Beast] | 7 Where[Loose]
         | 4 Where[Fixed] | 2 Where[Human] | 2 Whereabouts | 9 Is[Any] | 2 Places | 5 Commands
         | 5 Feels | 2 Weather | 4 Has | 3 Than | 2 Sounds

# People. X says whose things they use: Who[her] is a "she", who does ActDoes[her], "brushes her
# hair". For who may be a he or a she, "the kid", both fit.
Who[her]   = 6 she | 3 mom | 2 grandma | 6 Girl | 2 My Sister | 2 the girl | HeOrShe
Who[his]   = 6 he | 3 dad | 2 grandpa | 6 Boy | 2 My Brother | 2 the boy | HeOrShe
Who[my]    = i
Who[our]   = we
Who[their] = 6 they | 2 the Kids | My friends
HeOrShe    = 2 the kid | My friend
Sister     = 2 sister | aunt
Brother    = 2 brother | uncle
Family     = mom | dad | 2 Sister | 2 Brother | grandma | grandpa | friend | friends
Name       = 2 Girl | 2 Boy | mom | dad
Friend     = 2 mom | 2 dad | 2 grandma | 2 grandpa | 5 Girl | 5 Boy | 4 Plain[Kid] | 3 Plain[Job]
Someone    = 3 she | 3 he | 2 mom | 2 dad | 4 Girl | 4 Boy | grandma | grandpa
Person     = Who[her] | Who[his]

# Single takes the form with -s, Plural the base form, Either whatever is the same for both.
People      = 5 Single[her] | 5 Single[his] | 2 Plural[my] | 2 Plural[our] | 4 Plural[their]
            | 4 Either[her] | 4 Either[his] | 2 Either[my] | 2 Either[our] | 3 Either[their]
            | 2 Pairs | 5 Apart | 3 Promises | 2 Moody
Single[X]   = 30 Who[X] ActDoes[X] | 5 Who[X] LongDoes | 5 Who[X] BriefDoes WhereOrWhen
            | 3 Who[X] wants to AbleDo[X] | 2 Who[X] likes to AbleDo[X]
            | 3 Who[X] does not ActDo[X]
Plural[X]   = 30 Who[X] ActDo[X] | 5 Who[X] LongDo | 5 Who[X] BriefDo WhereOrWhen
            | 3 Who[X] want to AbleDo[X] | 2 Who[X] like to AbleDo[X] | 3 Who[X] do not ActDo[X]
Either[X]   = 20 Who[X] ActDid[X] | 5 Who[X] LongDid | 5 Who[X] BriefDid WhereOrWhen
            | 4 When Who[X] OrderDid[X] | 5 Who[X] can AbleDo[X] | 5 Who[X] will AbleDo[X]
Pairs       = 2 Both ActDo[their] | 2 Both ActDid[their]
Both        = 2 Girl and Boy | 2 Boy and Girl | mom and dad
Promises    = 2 Anybody can LongDo | 3 Anybody will LongDo
Anybody     = 4 Someone | i | we | they
Moody       = 2 the HumanLook Kid BriefDoes | the HumanLook Kids BriefDo
            | the HumanLook Kid BriefDid | the HumanLook Kids BriefDid
WhereOrWhen = 3 Around | 2 When
When        = 3 on Day | in Month
# The verb agrees with the kid, not with the trees next to it: "the kid under the trees reads".
Apart = the Kid Around BriefDoes | the Kids Around BriefDo

# animals: the same frames for all of them; for Tells[Dog], XDoes is DogDoes and Xs is Dogs
Animals  = 4 Tells[Dog] | 3 Tells[Cat] | 4 Tells[Bird] | 4 Tells[Duck] | 3 Tells[Fish]
         | 4 Tells[Hopper] | 6 Tells[Farm] | 5 Tells[Wild] | 4 Tells[Bug]
Tells[X] = 14 One[X] XDoes | 12 More[X] XDo | 4 One[X] XDid | 4 More[X] XDid
         | 3 the Adj[X] X XDoes | 2 the Adj[X] Xs XDo | the Adj[X] X can XDo | 3 Xs XDo
         | Xs can XDo | 2 One[X] can XDo | 2 More[X] can XDo | 2 One[X] wants to XDo
         | 2 More[X] want to XDo | One[X] likes to XDo | More[X] like to XDo
         | 2 One[X] cannot CannotDo[X] | 2 More[X] cannot CannotDo[X] | Xs cannot CannotDo[X]
         | 5 the X At[X] XBrieflyDoes | 5 the Xs At[X] XBrieflyDo | 2 One[X] XBrieflyDoes At[X]
         | 2 More[X] XBrieflyDo At[X] | One[X] XBrieflyDid At[X] | More[X] XBrieflyDid At[X]
Sounds   = the Dog says woof | the Cat says meow | the duck says quack | the cow says moo
         | the pig says oink | the sheep says baa | the bird says tweet | Dogs say woof
         | Cats say meow | ducks say quack | cows say moo | pigs say oink | birds say tweet

# people at work; for Works[baker], X is the word "baker", Xs "bakers" and XDoes bakerDoes
AtWork   = Works[baker] | Works[cook] | Works[farmer] | Works[teacher] | Works[doctor]
         | Works[nurse] | Works[pilot] | Works[driver] | Works[singer] | Works[dancer]
         | Works[painter] | Works[sailor] | Works[clown]
Works[X] = 5 the X XDoes | 4 the Xs XDo | 2 the HumanLook X XDoes | the HumanLook Xs XDo
         | 2 the X XDid | 2 the Xs XDid | the X can XDo | the Xs can XDo | the X will XDo
         | the Xs will XDo | the X wants to XDo | the X likes to XDo | Number Xs XDo
         | When the X XDid | 2 the X AlsoDoes | the Xs AlsoDo | 2 the X Around MoveDoes
         | the Xs Around MoveDo

# vehicles
Traffic  = 3 Moves[Car] | 2 Moves[Boat] | 2 Moves[Plane]
Moves[X] = 4 One[X] XDoes | 4 More[X] XDo | 3 the Adj[X] X XDoes | 2 One[X] XDid | 2 More[X] XDid
         | One[X] can XDo | One[X] will XDo

# Phrases with a noun. One and More are subjects, A is one thing, Plain and Fine are objects and
# Some is either of these two. What cannot be counted has "some" instead of "a", and no plural:
# "some milk".
One[X]            = 5 the X | a X | 2 Det[X] X
More[X]           = 4 the Xs | 3 Number Xs | 2 Dets[X] Xs
A[X]              = 3 the X | 2 a X
Plain[X]          = 4 the X | 4 a X | 2 the Xs | 3 Number Xs
Fine[X]           = 3 the Adj[X] X | 4 a Adj[X] X | the Adj[X] Xs | Adj[X] Xs | 2 Xs
Some[X]           = 2 Plain[X] | Fine[X]
Plain[Meal Drink] = 3 some X | 2 the X
Fine[Meal Drink]  = 3 X | some MealLook X | the MealLook X
Plain[Seedling]   = 2 the Seedling | some Seedling | Number Seedling
Fine[Seedling]    = Seedling
Plain[Bloom]      = 2 the Bloom | some Bloom | Number Bloom
Fine[Bloom]       = Bloom
# before the subject: "my dog", but "this farmer" and "this tiger"
Det[X]  = My
Dets[X] = My
Det[Kid Job Wild Fish Bug Big Little] = This
Dets[Kid Job Wild Fish Bug] = These

# what it is like
Is[X]          = 5 One[X] is Adj[X] | This X is Adj[X] | These Xs are Adj[X]
               | 3 More[X] are Adj[X] | 2 This is a X | 2 This is a Adj[X] X | 2 These are Xs
               | These are Adj[X] Xs
Adj[Kid Job]   = HumanLook
Adj[Dog Cat Bird Duck Hopper Farm Wild] = BeastLook
Adj[Fish Bug]  = SmallLook
Adj[Crop Cake] = FoodLook
Adj[Cloth Toy Ball Small Car Bike Boat Plane Seat Table Door] = ThingLook
Adj[Text]      = 4 ThingLook | TextLook
Adj[Nature]    = NatureLook

# where it is: a cup is on the table, a dog under it, a tiger outdoors
Where[X]             = 5 One[X] is At[X] | 3 More[X] are At[X] | 2 the Adj[X] X is At[X]
                     | the Adj[X] Xs are At[X] | 3 there is a X At[X]
                     | 3 there are Number Xs At[X]
Whereabouts          = 4 Person is Around | i am Around | we are Around | 2 Who[their] are Around
At[Dog Cat]          = 3 on A[Seat] | 2 under A[Seat] | 2 under A[Table] | 2 Inside | 6 Outdoors
At[Bird]             = 2 in the tree | in the trees | 3 Outdoors
At[Duck]             = on the Water | Outdoors
At[Fish]             = in the sea
At[Hopper Farm Wild] = Outdoors
At[Bug]              = 2 on the BugSpot | 2 under the BugSpot | Outdoors
At[Crop Cake]        = 3 on A[Table] | under A[Table] | 2 in A[Box]
At[Cloth Text Toy Small] = 3 on A[Table] | 2 on A[Seat] | 2 under A[Seat] | 2 under A[Table]
                     | 3 in A[Box] | 2 Outdoors
At[Car Bike Nature]  = Outdoors
At[Boat]             = 3 on the Water | Outdoors
At[Plane]            = over the Spot
At[Seat Table]       = Inside
At[Kid Job]          = Around

# places
Places   = 3 the Spot is SpotLook | 2 This Spot is SpotLook | 2 the Home has a ThingLook Door
Spot     = 5 Yard | 3 Home | 4 Town | 3 Water | 3 Ground
Stop     = 4 Town | 3 Ground | park | zoo
Land     = 5 Yard | 3 Water | 3 Ground | barn
Outdoors = 5 in the Yard | 3 on the Ground | 3 by the Water | under the tree | under the trees
         | by the flowers | by the house
Inside   = 4 in the Home | 3 in the Town
Around   = 3 Outdoors | Inside

# classes for one verb each: climb the High, jump over the Low, look at the Sky, go on a Transport;
# a bug crawls on or under a BugSpot
High       = hill | tree
Low        = log | box | rock | 2 fence | stick
BugSpot    = leaf | rock | log | flower | stick | tree
Sunny      = sunny | windy | hot | cold
Sky        = sun | moon | stars
Castle     = house | castle
Door       = door | gate | window
Doors      = doors | gates | windows
Ball       = ball
Balls      = balls
Bloom      = flowers | roses
Seedling   = 3 Bloom | carrots | beans | onions | potatoes
Horse      = horse | pony
Transport  = bus | 2 train | boat | plane
Instrument = piano | horn
Song       = song
Tool       = pen | pencil | crayon
Box        = box | bag | basket
Feed       = 2 water | corn
BodyPart   = 2 hands | face | hair
Sore       = 2 hand | face

# orders, feelings, the sky, looks, sizes
Commands = 4 please OrderDo[your] | 2 please LongDo | 2 do not DeedDo[Plain] | do not GoDo
Feels    = 3 Being happy when Joy | 2 Being sad when Grief | 2 Being cold when Chill
         | 2 Someone smiles when Joy | 5 Being HumanLook
Being    = 3 Someone is | i am | 2 we are | 2 they are
Joy      = 3 it snows | 2 it is sunny | 3 Someone PleaseDoes | 2 they PleaseDo
Grief    = 3 it rains | it is windy
Chill    = 3 it snows | 2 it is windy | it rains
Weather  = 2 it is Sunny on Day | it rains in Month | it rained on Day | it snowed on Day
         | it snows in december | the sun is hot | the moon is big
Has      = 6 the Tailed has Tail | 2 My Pet has Tail | 2 the Eared has long ears
         | 2 the Bird has Wings wings | 4 Person has HairColor hair | 4 Person has EyeColor eyes
         | 2 the Pet has EyeColor eyes
Pet      = Dog | Cat
Tailed   = 2 Dog | 2 Cat | cow | horse | pony | fox | wolf | lion | tiger
Eared    = rabbit | bunny
Wings    = black | brown | white
Tail     = a Length tail
Than     = One[Big] is bigger than A[Little] | One[Little] is smaller than A[Big]
# the big animals and the little ones
Big    = 3 Farm | 2 Wild | shark | whale
Little = 4 Bug | 2 Bird | 2 Hopper | Cat
"""

# Questions use the words of the sentences and have a start symbol of their own.
QUESTIONS = """
# Asks: what an animal or a thing is like, and where; Behaves: what animals do; Wonders: what one
# person does; Wondering: what several people do
Question     = 6 Asks[Beast] | 5 Asks[Loose] | 7 Behaves[Beast] | 4 Wonders[her] | 4 Wonders[his]
             | 3 Wondering[their] | 2 Compares
Asks[X]      = 3 is the X Adj[X] | 3 is the X At[X] | 2 are the Xs Adj[X] | 2 are the Xs At[X]
             | is there a X At[X] | are there Number Xs At[X]
Behaves[X]   = 2 does the X XDo | 2 do Xs XDo | 2 do the Xs XDo | can the X XDo | 2 can Xs XDo
Wonders[X]   = 3 does Who[X] AbleDo[X] | 2 can Who[X] AbleDo[X] | will Who[X] AbleDo[X]
             | is Who[X] HumanLook | is Who[X] Around
Wondering[X] = 3 do Who[X] AbleDo[X] | 2 can Who[X] AbleDo[X] | will Who[X] AbleDo[X]
             | are Who[X] HumanLook | are Who[X] Around
Compares     = is One[Big] bigger than A[Little] | is One[Little] smaller than A[Big]
"""

# ----------------------------------------------------------------- from the tables to the grammar

START, QUESTION = "Sentence", "Question"

NOUN_FORMS = read_nouns(NOUNS)
VERB_FORMS = read_verbs(VERBS)


def english_rules(start: str = START) -> Rules:
    """Return all rules that `start` leads to. Raises ValueError if the tables do not fit."""
    kinds = read_rules(KINDS)
    rules = merged(
        noun_rules(NOUN_FORMS),
        kind_rules(kinds),
        {name: word_class(words) for name, words in read_entries(OTHERS).items()},
        action_rules(read_rules(ACTIONS), VERB_FORMS),
        read_rules(RULES),
        read_rules(QUESTIONS),
    )
    return instantiate(rules, kinds, start)


SENTENCES = Grammar(english_rules(START), START)
QUESTION_SENTENCES = Grammar(english_rules(QUESTION), QUESTION)
WORDS: tuple[str, ...] = SENTENCES.words


def sample(rng: random.Random) -> str:
    """Draw one sentence of 2 to 8 words from the grammar."""
    return SENTENCES.sample(rng)


def log_prob(sentence: str) -> float:
    """Return the log-probability of `sentence` in nats, over all derivations; -inf if none."""
    return SENTENCES.log_prob(sentence)


def prefix_log_prob(beginning: str) -> float:
    """Return the log-probability in nats that a sentence begins like this; -inf if none does."""
    return SENTENCES.prefix_log_prob(beginning)


def next_words(beginning: str) -> dict[str, float]:
    """Return the probability of each word that can follow `beginning`, and of the end (pcfg.END).

    The probabilities sum to 1. There are none if no sentence begins so.
    """
    return SENTENCES.next_words(beginning)


def accepts(sentence: str) -> bool:
    """Return whether `sentence` (words and single spaces) belongs to the grammar."""
    return SENTENCES.accepts(sentence)


def count_derivations() -> int:
    """Return the number of derivations of a sentence."""
    return SENTENCES.count_derivations()


def corpus(n: int, seed: int) -> list[str]:
    """Draw `n` sentences; a likely one may be drawn several times. Raises ValueError if n < 0."""
    if n < 0:
        raise ValueError(f"n must be at least 0, not {n}")
    rng = random.Random(seed)
    return [sample(rng) for _ in range(n)]


def questions(n: int = 150, seed: int = 42) -> list[str]:
    """Draw `n` different questions of 3 to 7 words, made of WORDS only.

    Raises ValueError for an impossible `n`.
    """
    return QUESTION_SENTENCES.distinct(n, random.Random(seed))


# ------------------------------------------------------------------------------------ the command


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write the lines under another name first, so that nobody ever reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text("".join(line + "\n" for line in lines), encoding="ascii", newline="\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `python -m llmhard.grammar` and return its exit code."""
    parser = OneLineParser(
        prog="python -m llmhard.grammar",
        description="Write the corpus and the questions, or show what the grammar does.",
        epilog="examples:\n"
        "  python -m llmhard.grammar --out data\n"
        "  python -m llmhard.grammar --sample 5 --seed 7\n"
        '  python -m llmhard.grammar --score "mom reads a big book"\n',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seed", type=whole_number, default=42, help="seed of all draws (default 42)"
    )
    parser.add_argument("--out", type=Path, default=Path("data"), help="directory (default data)")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--sample", type=whole_number, metavar="N", help="print N sentences instead"
    )
    instead.add_argument("--score", metavar="SENTENCE", help="print its log-probability instead")
    options = parser.parse_args(arguments)

    if options.score is not None:
        score = log_prob(options.score)
        verdict = "accepted" if score > -math.inf else "not accepted"
        print(f"{verdict}, log-probability {score:.4f} nats")
    elif options.sample is not None:
        rng = random.Random(options.seed)
        for _ in range(options.sample):
            print(sample(rng))
    else:
        files = {
            "grade1_sentences.txt": corpus(30_000, options.seed),
            "questions.txt": questions(150, options.seed),
        }
        try:
            for name, lines in files.items():
                _write_lines(options.out / name, lines)
                print(f"wrote {options.out / name}: {len(lines)} lines")
        except OSError as error:
            parser.error(f"cannot write to {options.out}: {error.strerror}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
