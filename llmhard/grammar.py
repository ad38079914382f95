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
    OTHERS    Feed: water corn
                  Feed is water or corn
    ACTIONS   Live = live in A[Home] | live Outdoors
                  LiveDo is "live in A[Home]" or "live Outdoors", LiveDoes "lives in ..." and
                  LiveDid "lived in ...": only the first word changes its form
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
from typing import NoReturn

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
Bee:     bee moth
Bug:     ant worm snail bug
# things
Crop:    apple pear banana orange plum peach/peaches cherry/cherries carrot bean onion
         potato/potatoes tomato/tomatoes
Cake:    cake pie pizza cookie
Cloth:   hat coat shirt cap dress/dresses
Shoe:    shoe sock boot
Text:    book story/stories letter card
Toy:     doll robot kite puzzle drum ball
Ball:    ball
Box:     box/boxes bag basket
Tool:    pen pencil brush/brushes
Small:   key coin ring button
Dish:    spoon fork cup bowl plate
Car:     car truck bus/buses
Bike:    bike sled
Boat:    boat ship
Plane:   plane rocket
Seat:    chair sofa bed bench/benches
Table:   table desk
Door:    door gate window
Flower:  flower rose
Rock:    rock log leaf/leaves stick
"""

# Kinds of nouns, by what can be done with them: Tame animals are hugged, Loose things are lost and
# carried, an Owned thing can be his, hers or mine.
KINDS = """
Pet     = Dog | Cat
Tame    = 2 Dog | 2 Cat | Bird | Duck | 2 Hopper | 3 Farm
Beast   = 2 Dog | 2 Cat | 3 Bird | 3 Duck | 3 Fish | 3 Hopper | 6 Farm | 5 Wild | 2 Bee | 4 Bug
Human   = Kid | 4 Job
Food    = 8 Crop | 3 Cake
Vehicle = 3 Car | 2 Bike | 2 Boat | 2 Plane
Loose   = 9 Food | 4 Cloth | 3 Shoe | 4 Text | 6 Toy | 3 Box | 3 Tool | 4 Small | 5 Dish
Fixed   = 9 Vehicle | 4 Seat | 2 Table | 3 Door | 2 Flower | 5 Rock
Thing   = 2 Loose | Fixed
Owned   = 2 Beast | 3 Thing
Any     = 5 Owned | Human
"""

OTHERS = """
# names and small words
Girl:        amy lily anna meg mia
Boy:         sam ben tom max leo
My:          my his her our your their
This:        this that
These:       these those
Number:      two three four five six seven eight nine ten
# what is eaten, drunk and given to animals
Meal:        soup rice bread cheese corn salad
Drink:       milk water juice tea
Feed:        water corn
# places: in the Yard, in the Room, in, on and by the Water, on the Ground
Yard:        park zoo garden yard field forest
Room:        room kitchen house castle barn shop store school library market
Water:       lake pond river sea
Ground:      farm hill beach
# what living beings, food, things and places are like
Color:       red blue green yellow black white brown
AliveLook:   big little old funny nice kind happy sad tired hungry sick cold
AnimalColor: black white brown
FoodLook:    big little old nice good sweet fresh
MealLook:    good hot cold fresh nice
ThingLook:   big little old funny nice new red blue green yellow black white brown
TextLook:    good long short
SpotLook:    big little old funny new nice
Feeling:     happy sad tired sick hungry cold
# time and weather
Day:         monday tuesday wednesday thursday friday saturday sunday
Month:       april june july
Weather:     sunny windy hot cold
"""

# base form, third person singular, past tense
VERBS = """
bake bakes baked       bark barks barked     brush brushes brushed  buy buys bought
carry carries carried  chase chases chased   clean cleans cleaned   climb climbs climbed
close closes closed    cook cooks cooked     crawl crawls crawled   cut cuts cut
dance dances danced    dig digs dug          draw draws drew        drink drinks drank
drive drives drove     eat eats ate          feed feeds fed         find finds found
fix fixes fixed        fly flies flew        give gives gave        go goes went
have has had           help helps helped     hide hides hid         hop hops hopped
hug hugs hugged        jump jumps jumped     kick kicks kicked      like likes liked
live lives lived       look looks looked     lose loses lost        love loves loved
open opens opened      paint paints painted  pick picks picked      plant plants planted
play plays played      read reads read       ride rides rode        run runs ran
sail sails sailed      say says said         see sees saw           share shares shared
sing sings sang        sit sits sat          sleep sleeps slept     smile smiles smiled
swim swims swam        throw throws threw    walk walks walked      want wants wanted
wash washes washed     wear wears wore       write writes wrote
"""

# ------------------------------------------------------------------------------------- the rules

ACTIONS = """
# What people do with things. X says how a thing is named: Plain in two words ("the book", "two
# books"), Fine in one to three, mostly with an adjective ("a big book").
Deed[X]   = 9 Eat[X] | 4 Dress[X] | 5 Read[X] | 5 Ride[X] | 4 Play[X] | 5 Care[X] | 9 Handle[X]
          | 8 Work[X]
Eat[X]    = 10 eat X[Food] | 6 eat X[Meal] | 12 drink X[Drink] | 3 cook X[Meal] | 4 cook X[Crop]
          | 6 bake X[Cake] | 2 bake X[Bread] | 7 cut X[Food] | 11 share X[Food] | 8 pick X[Crop]
          | 6 plant X[Crop]
Dress[X]  = 8 wear X[Cloth] | 4 wear X[Shoe]
Read[X]   = 9 read X[Text] | 6 write X[Text]
Ride[X]   = 6 ride X[Bike] | 7 drive X[Car] | 5 sail X[Boat] | 5 fix X[Vehicle]
Play[X]   = 5 throw X[Ball] | 6 kick X[Ball]
Care[X]   = 7 feed X[Beast] | 4 hug X[Tame] | 5 help X[Human]
Handle[X] = 8 draw X[Any] | 5 paint X[Any] | 8 buy X[Thing] | 5 carry X[Loose] | 3 wash X[Cloth]
          | 2 wash X[Dish] | 2 wash X[Car]
Work[X]   = 7 open X[Door] | 11 close X[Door] | 4 open X[Box] | 4 close X[Box] | 9 clean X[Seat]
          | 3 clean X[Table] | 5 plant X[Flower] | 5 pick X[Flower] | 4 fix X[Seat]
# what they feel, see and have
Mind[X] = 9 see X[Any] | 5 find X[Any] | 5 have X[Owned]
Wish[X] = 8 like X[Any] | 7 want X[Owned] | 4 love X[Tame]
# alone, with others, and where to
Move = run | 3 swim | 4 dance | 4 sing | 2 sleep | 2 jump | 3 read | walk | 3 smile | 3 play
     | 2 cook | 2 draw | 2 write | 2 hide | sit | 2 eat
Meet = 4 play with Friend | 4 dance with Friend | 3 sing to Friend | 3 read to Friend
     | 3 write to Friend | 3 smile at Friend | 3 look at Friend | 3 hug Friend | 4 help Friend
     | 3 look at Plain[Any] | look at the Spot | 2 draw the Spot | paint the Spot
     | 2 smile at Plain[Beast] | 6 play with Plain[Toy] | 4 play with Plain[Tame]
     | 3 draw with A[Tool] | 3 write with A[Tool] | 8 look at the Sky
Go   = 6 go to the Spot | 5 walk to the Spot | 5 run to the Spot | 4 drive to the Spot
     | 6 ride on A[Transport] | 4 ride A[Horse] | 6 climb the High | 4 jump over A[Low] | 5 Move
     | drive home | 3 go home | 2 run home | 2 walk home | 6 swim in the Water | 4 sit on A[Seat]
     | 4 sleep on A[Seat] | 8 Move Around | 5 play the Instrument | 3 play a game | 3 play games
     | 3 sing A[Song]
# with what is theirs; X is the word for it: he does Own[his], they do Own[their]
Own[X]  = 6 wash X BodyPart | 6 brush X hair | 6 brush X teeth | 6 wear X Cloth
        | 4 wear X ThingLook Cloth | 4 wear X Shoes | 3 wear X ThingLook Shoes | 4 ride X Bike
        | 3 ride X ThingLook Bike | 2 drive X Car | 2 fix X Vehicle | 2 clean X room
        | 3 feed X Tame | 3 hug X Tame | 3 play with X Pet | 3 play with X Toy | 2 kick X ball
        | 2 throw X ball | 3 eat X Food | 4 read X Text | 4 write X name | 3 carry X Loose
        | 3 draw X Owned | 3 find X Owned | 2 open X Box | 3 help X Family | 3 hug X Family
        | 3 smile at X Family | 3 play with X Family | 2 read to X Family | 2 go to X room
        | 2 sleep on X Seat
Keep[X] = 4 lose X Loose | 3 lose X Shoes | 3 lose X Smalls | 4 like X Owned | 3 love X Family
        | 3 love X Tame | 2 want X Owned
# All of this together, in at most four words: Order for "please" and "do not", Able for "can",
# "will" and "wants to", Act for a person alone.
Order[X] = 6 Deed[Plain] | 3 Deed[Fine] | 3 Meet | 5 Go | 6 Own[X]
Able[X]  = 36 Order[X] | 4 Mind[Plain] | 4 Mind[Fine] | see the Spot
Act[X]   = 48 Able[X] | 6 Wish[Plain] | 6 Wish[Fine] | 12 Keep[X] | like the Spot | 2 Live
Live     = live in A[Home] | live Outdoors
# In at most three words, so that a place or a day fits as well: "mom sees two dogs on monday".
Brief    = 4 Deed[Plain] | Mind[Plain] | Wish[Plain] | 2 Move | 2 WithName
WithName = 3 play with Name | 2 dance with Name | 2 read to Name | 2 sing to Name | write to Name
# after two to three words: "the tired boy goes to the park"
Few = 3 Deed[Plain] | 2 Mind[Plain] | 2 Wish[Plain] | 2 Go | Meet
# in up to six words
Long = 6 give Friend Plain[Loose] | 6 give Friend Fine[Loose] | 2 give Friend Plain[Meal]
     | 2 give Plain[Tame] some Feed | 4 read Plain[Text] to Friend | 3 write Plain[Text] to Friend
     | 5 carry Plain[Loose] to the Spot | 4 draw Plain[Any] with A[Tool]

# What people do at work, in at most four words. Here a word of the class Job names the symbols:
# bakerDo, bakerDoes and bakerDid.
baker   = 6 bake Some[Cake] | 3 bake Some[Bread] | 3 cut Some[Food]
cook    = 4 cook Some[Meal] | 4 cook Some[Crop] | 3 cut Some[Food]
farmer  = 6 feed Some[Farm] | 3 plant Some[Crop] | 3 pick Some[Crop]
teacher = 4 read Some[Text] | 4 help Some[Kid] | 3 read to the Kids | 3 write Some[Text]
doctor  = 8 help Some[Kid] | 3 help Friend | 3 look at Plain[Kid] | 6 look at My Sore
nurse   = 8 help Some[Kid] | 3 help Friend | 3 look at Plain[Kid] | 5 look at My Sore
pilot   = 5 fly Some[Plane] | 3 fly over the Spot | 2 fly to the Spot
driver  = 5 drive Some[Car] | 4 drive to the Spot | 2 fix Some[Car]
singer  = 2 sing | 4 sing A[Song] | 3 sing to the Kids | 3 sing Around
dancer  = 2 dance | 4 dance Around | 3 dance with the Kids | 3 dance to the song
painter = 6 paint Some[Any] | 4 paint the Spot | 3 paint Some[Door]
sailor  = 5 sail Some[Boat] | 4 sail on the Water | 3 fix Some[Boat]
clown   = 3 dance with the Kids | 3 smile at the Kids | 3 throw Some[Ball] | 3 ride Some[Bike]
        | 2 ride A[Horse]

# What animals do, in at most four words: the class Dog does DogDo, DogDoes and DogDid.
Dog      = 6 DogBriefly | 4 bark at Plain[Any] | 2 Roam | 2 Rest[Dog]
Cat      = 6 CatBriefly | 3 Roam | 3 Rest[Cat]
Bird     = 5 BirdBriefly | 5 fly over the Spot | 3 fly to the Land | 3 Rest[Bird] | Dwell[Bird]
Duck     = 5 DuckBriefly | 4 swim in the Water | 3 fly over the Spot | 2 Roam | 3 Rest[Duck]
         | Dwell[Duck]
Fish     = 6 FishBriefly | 5 swim in the Water | 2 jump in the Water | 2 Rest[Fish] | Dwell[Fish]
Hopper   = 5 HopperBriefly | 4 hop over A[Low] | 3 hop to the Land | 3 Rest[Hopper]
         | Dwell[Hopper]
Farm     = 5 FarmBriefly | 5 Roam | 3 Rest[Farm] | Dwell[Farm]
Wild     = 5 WildBriefly | 5 Roam | 3 Rest[Wild] | Dwell[Wild]
Bee      = 5 BeeBriefly | 4 fly to the Flower | 3 fly over the Spot | 2 Rest[Bee] | Dwell[Bee]
Bug      = 5 BugBriefly | 4 crawl on the BugSpot | 3 crawl under the BugSpot | 3 Rest[Bug]
         | Dwell[Bug]
Roam     = 3 run to the Land | 3 walk to the Land | 2 go to the Land | 2 see Fine[Any]
         | climb the High
Rest[X]  = 3 sleep At[X] | 3 sit At[X] | 3 hide At[X] | 3 play At[X]
Dwell[X] = live At[X]
# in at most three words, for "the dog by the pond barks" and "the dog barks by the pond"
DogBriefly    = 12 bark | 20 dig | 2 eat some meat | drink some milk | 3 Legs
              | 5 chase Plain[Beast] | 4 Common
CatBriefly    = 4 drink some milk | 2 eat some meat | 3 Legs | 4 chase Plain[Beast] | 4 Common
BirdBriefly   = 5 fly | 4 sing | 3 eat some seeds | 4 Common
DuckBriefly   = 5 swim | 2 fly | 3 eat some seeds | 4 Common
FishBriefly   = 6 swim | jump | 4 Common
HopperBriefly = 5 hop | 3 eat some grass | 2 Legs | 4 Common
FarmBriefly   = 4 eat some grass | 2 eat some corn | 3 Legs | 5 Common
WildBriefly   = 4 eat some meat | 4 chase Plain[Beast] | 4 Legs | 5 Common
BeeBriefly    = 6 fly | 4 Common
BugBriefly    = 5 crawl | 4 Common
Legs          = 3 run | 2 jump | walk
Common        = 3 sleep | 2 play | 2 hide | sit | 2 eat | 2 drink some water | 4 see Plain[Any]
# "the fish cannot walk": always the base form
Cannot[Dog Cat Hopper Farm Wild] = 4 fly | 3 Learn
Cannot[Bird Duck] = Learn
Cannot[Fish]      = 2 fly | 3 walk | 3 run | 3 Learn
Cannot[Bee]       = 2 swim | 2 Learn
Cannot[Bug]       = 3 fly | 3 Learn
Learn             = read | write | cook | drive | paint | smile

# what vehicles do
Car   = go to the Spot | drive to the Spot
Boat  = 4 sail on the Water | 2 sail to the beach | sail
Plane = 4 fly over the Spot | 3 fly to the Spot | fly
"""

RULES = """
Sentence = 58 People | 26 Animals | 8 AtWork | 4 Traffic | 4 Where[Beast] | 7 Where[Loose]
         | 4 Where[Fixed] | 2 Where[Human] | 2 Whereabouts | 9 Is[Any] | 2 Places | 5 Commands
         | 4 Feels | 2 Skies | 4 Has | 3 Than | 2 Sounds

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

# Single takes the form with -s, Plural the base form, Either whatever is the same for both.
People    = 5 Single[her] | 5 Single[his] | 2 Plural[my] | 2 Plural[our] | 4 Plural[their]
          | 4 Either[her] | 4 Either[his] | 2 Either[my] | 2 Either[our] | 3 Either[their]
          | 2 Pairs | 4 Apart | 3 Promises | 3 the Adj[Kid] Kid FewDoes
          | 2 the Adj[Kid] Kids FewDo | the Adj[Kid] Kid FewDid | the Adj[Kid] Kids FewDid
Single[X] = 20 Who[X] ActDoes[X] | 5 Who[X] LongDoes | 7 Who[X] BriefDoes WhereOrWhen
          | 2 When Who[X] ActDoes[X] | 3 Who[X] wants to AbleDo[X] | 2 Who[X] likes to AbleDo[X]
          | 3 Who[X] does not ActDo[X]
Plural[X] = 20 Who[X] ActDo[X] | 5 Who[X] LongDo | 7 Who[X] BriefDo WhereOrWhen
          | 2 When Who[X] ActDo[X] | 3 Who[X] want to AbleDo[X] | 2 Who[X] like to AbleDo[X]
          | 3 Who[X] do not ActDo[X]
Either[X] = 14 Who[X] ActDid[X] | 5 Who[X] LongDid | 7 Who[X] BriefDid WhereOrWhen
          | 4 When Who[X] ActDid[X] | 5 Who[X] can AbleDo[X] | 5 Who[X] will AbleDo[X]
Pairs     = 2 Both ActDo[their] | 2 Both ActDid[their]
Both      = 2 Girl and Boy | 2 Boy and Girl | mom and dad
# The verb agrees with the kid, not with the trees next to it: "the kid under the trees reads".
Apart       = the Kid Around BriefDoes | the Kids Around BriefDo
WhereOrWhen = 3 Around | 2 When
Promises    = 2 Anybody can LongDo | 3 Anybody will LongDo
Anybody     = 4 Someone | i | we | they
When        = 3 on Day | in Month

# animals: the same frames for all of them; for Tells[Dog], XDoes is DogDoes and Xs is Dogs
Animals  = 4 Tells[Dog] | 3 Tells[Cat] | 4 Tells[Bird] | 4 Tells[Duck] | 3 Tells[Fish]
         | 4 Tells[Hopper] | 6 Tells[Farm] | 5 Tells[Wild] | 2 Tells[Bee] | 4 Tells[Bug]
Tells[X] = 8 One[X] XDoes | 6 More[X] XDo | 4 One[X] XDid | 4 More[X] XDid | 3 the Adj[X] X XDoes
         | 2 the Adj[X] Xs XDo | the Adj[X] X can XDo | 2 Xs XDo | When One[X] XDid
         | When More[X] XDid | 2 One[X] can XDo | 2 More[X] can XDo | 2 One[X] wants to XDo
         | 2 More[X] want to XDo | One[X] likes to XDo | More[X] like to XDo
         | 2 One[X] cannot CannotDo[X] | 2 More[X] cannot CannotDo[X] | Xs cannot CannotDo[X]
         | 4 the X At[X] XBrieflyDoes | 4 the Xs At[X] XBrieflyDo | 2 One[X] XBrieflyDoes At[X]
         | 2 More[X] XBrieflyDo At[X] | One[X] XBrieflyDid At[X] | More[X] XBrieflyDid At[X]
Sounds   = the Dog says woof | the Cat says meow | the Duck says quack | the cow says moo
         | the pig says oink | the sheep says baa | Dogs say woof | Cats say meow
         | Ducks say quack | cows say moo | pigs say oink | 2 the Bird says tweet

# people at work; for Works[baker], X is the word "baker", Xs "bakers" and XDoes bakerDoes
AtWork   = Works[baker] | Works[cook] | Works[farmer] | Works[teacher] | Works[doctor]
         | Works[nurse] | Works[pilot] | Works[driver] | Works[singer] | Works[dancer]
         | Works[painter] | Works[sailor] | Works[clown]
Works[X] = 4 the X XDoes | 2 the Adj[Job] X XDoes | 3 the Xs XDo | 2 the X XDid | the Xs XDid
         | the X can XDo | the X will XDo | the X likes to XDo | the X wants to XDo
         | 2 Number Xs XDo | My X XDoes | 2 the X MoveDoes | the Xs MoveDo
         | 2 the X Around MoveDoes | the Xs Around MoveDo | the X MindDoes[Plain]
         | When the X XDid

# vehicles
Traffic  = 3 Moves[Car] | 2 Moves[Boat] | 2 Moves[Plane]
Moves[X] = 4 One[X] XDoes | 4 More[X] XDo | 3 the Adj[X] X XDoes | 2 One[X] XDid | 2 More[X] XDid
         | One[X] can XDo | One[X] will XDo

# Phrases with a noun. One and More are subjects, A is one thing, Plain and Fine are objects and
# Some is either of these two. What cannot be counted has "some" instead of "a", and no plural:
# "some milk".
One[X]   = 5 the X | a X | 2 Det[X] X
More[X]  = 4 the Xs | 3 Number Xs | 2 Dets[X] Xs
A[X]     = 3 the X | 2 a X
Plain[X] = 4 the X | 4 a X | 2 the Xs | 2 Number Xs
Fine[X]  = 3 the Adj[X] X | 4 a Adj[X] X | the Adj[X] Xs | Adj[X] Xs | 2 Xs
Some[X]  = 2 Plain[X] | Fine[X]
Plain[Meal Drink Bread] = 3 some X | 2 the X
Fine[Meal Drink Bread] = 3 X | some MealLook X | the MealLook X
# before the subject: "my dog", but "this farmer"
Det[X]        = My
Dets[X]       = My
Det[Kid Job]  = This
Dets[Kid Job] = These

# what it is like
Is[X]          = 5 One[X] is Adj[X] | This X is Adj[X] | These Xs are Adj[X]
               | 3 More[X] are Adj[X] | 2 This is a X | 2 This is a Adj[X] X | 2 These are Xs
               | These are Adj[X] Xs
Adj[Dog Cat Bird Duck Fish Hopper Farm Wild Bee Bug] = 5 AliveLook | AnimalColor
Adj[Crop Cake] = FoodLook
Adj[Cloth Shoe Toy Ball Box Tool Small Dish Seat Table Door Flower Rock] = ThingLook
Adj[Car Bike Boat Plane] = ThingLook
Adj[Text]      = 4 ThingLook | TextLook
Adj[Kid Job]   = 12 AliveLook | tall

# where it is: a cup is on the table, a dog under it, a tiger outdoors
Whereabouts          = 4 Person is Around | i am Around | we are Around | 2 Who[their] are Around
Where[X]             = 5 One[X] is At[X] | 3 More[X] are At[X] | 2 the Adj[X] X is At[X]
                     | the Adj[X] Xs are At[X] | 3 there is a X At[X]
                     | 3 there are Number Xs At[X]
At[Dog Cat]          = 3 on A[Seat] | 2 under A[Seat] | 2 under A[Table] | 2 Inside | 6 Outdoors
At[Bird]             = 2 in the tree | in the trees | 3 Outdoors
At[Duck]             = in the Water | 2 Outdoors
At[Fish]             = in the Water
At[Hopper Farm Wild] = Outdoors
At[Bee]              = on the Flower | Outdoors
At[Bug]              = 2 on the BugSpot | 2 under the BugSpot | Outdoors
At[Crop Cake Dish]   = 3 on A[Table] | under A[Table] | 2 in A[Box]
At[Cloth Shoe Text Toy Tool Small] = 3 on A[Table] | 3 on A[Seat] | 2 under A[Seat]
                     | 2 under A[Table] | 4 in A[Box] | 3 Outdoors
At[Box]              = 3 on A[Table] | 3 under A[Table] | 3 Inside | Outdoors
At[Car Bike Flower Rock] = Outdoors
At[Boat]             = 3 on the Water | Outdoors
At[Plane]            = over the Spot
At[Seat Table]       = 3 Inside | Outdoors
At[Door]             = Inside
At[Kid Job]          = Around

# places
Places   = 3 the Spot is SpotLook | 2 This Spot is SpotLook | 2 the Room has a ThingLook Door
         | the Room is Outdoors
Spot     = 5 Yard | 6 Room | 3 Water | 2 Ground
Land     = 5 Yard | 3 Water | 2 Ground | barn
Outdoors = 5 in the Yard | 2 on the Ground | 3 by the Water | under the tree | under the trees
         | by the flowers | by the house
Inside   = in A[Room]
Around   = 4 Outdoors | 2 Inside

# classes for one verb each: climb the High, jump over the Low, look at the Sky, go on a Transport;
# a bug crawls on or under a BugSpot; Bread, Horse and Song are classes so that they fit into A[X]
High       = hill | tree
Low        = log | box | rock | fence | stick
BugSpot    = leaf | rock | log | flower | stick | tree
Sky        = sun | moon | stars
Bread      = bread
Home       = house | castle
Horse      = horse | pony
Transport  = bus | 2 train | boat | plane
Instrument = piano | horn
Song       = song
BodyPart   = 2 hands | face | hair
Sore       = hand | face

# orders, feelings, the sky, looks, sizes
Commands = 4 please OrderDo[your] | 2 please LongDo | 3 do not OrderDo[your]
Feels    = 4 Someone is Feeling when Reason | 2 Someone smiles when Reason
         | i am Feeling when Reason | 2 we are Feeling when Reason
         | 2 they are Feeling when Reason | 4 Person is Adj[Kid] | 2 i am Adj[Kid]
         | 2 we are Adj[Kid] | 2 Who[their] are Adj[Kid]
Reason   = 4 it rains | 4 it snows | 2 it is Weather | 5 Someone BriefDoes | 3 they BriefDo
Someone  = 3 she | 3 he | 2 mom | 2 dad | 4 Girl | 4 Boy | grandma | grandpa
Person   = Who[her] | Who[his]
Skies    = it is Weather | 5 it is Weather When | 2 it rains When | 2 it snows When
         | 2 it rained When | 2 it snowed When | the sun is hot | the moon is big
Has      = 6 the Tailed has Tail | 3 My Pet has Tail | 2 the Hopper has long ears
         | 2 the Bird has Color wings | 4 Person has Color hair | 4 Person has Color eyes
         | 2 the Beast has Color eyes
Tailed   = Dog | Cat | Bird | Duck | Hopper | 2 Farm | 2 Wild
Tail     = a Length tail
Length   = long | short | little | big | white | black | brown
Than     = One[Big] is bigger than A[Little] | One[Little] is smaller than A[Big]
# the big animals and the little ones
Big    = 3 Farm | 2 Wild | shark | whale
Little = 4 Bug | 2 Bee | frog | robin | puppy | kitten
"""

# Questions use the words of the sentences and have a start symbol of their own.
QUESTIONS = """
# Asks: what an animal or a thing is like, and where; Behaves: what animals do; Wonders: what one
# person does; Wondering: what several people do
Question     = 8 Asks[Beast] | 5 Asks[Thing] | 5 Behaves[Beast] | 4 Wonders[her] | 4 Wonders[his]
             | 3 Wondering[their] | 2 Compares
Asks[X]      = 2 is One[X] Adj[X] | 2 is One[X] At[X] | are More[X] Adj[X] | 2 are More[X] At[X]
             | is there a X At[X] | are there Number Xs At[X]
Behaves[X]   = 2 does One[X] XDo | 2 do More[X] XDo | 2 can One[X] XDo | 2 can Xs XDo
             | can More[X] XDo
Wonders[X]   = 3 does Who[X] ActDo[X] | 2 can Who[X] AbleDo[X] | will Who[X] AbleDo[X]
             | is Who[X] Adj[Kid] | is Who[X] Around
Wondering[X] = 3 do Who[X] ActDo[X] | 2 can Who[X] AbleDo[X] | will Who[X] AbleDo[X]
             | are Who[X] Adj[Kid] | are Who[X] Around
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
    """The log-probability of `sentence` in nats, over all derivations; -inf if it has none."""
    return SENTENCES.log_prob(sentence)


def prefix_log_prob(beginning: str) -> float:
    """The log-probability in nats that a sentence begins with these words; -inf if none does."""
    return SENTENCES.prefix_log_prob(beginning)


def next_words(beginning: str) -> dict[str, float]:
    """The probability of each word that can follow `beginning`, and of the end (pcfg.END); they sum
    to 1. Empty if no sentence begins so."""
    return SENTENCES.next_words(beginning)


def accepts(sentence: str) -> bool:
    """Whether `sentence` (words and single spaces) belongs to the grammar."""
    return SENTENCES.accepts(sentence)


def count_derivations() -> int:
    """The number of derivations of a sentence."""
    return SENTENCES.count_derivations()


def corpus(n: int, seed: int) -> list[str]:
    """Draw `n` sentences; a likely one may come more than once. Raises ValueError if n < 0."""
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
    """Write under another name first, so that nobody ever reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text("".join(line + "\n" for line in lines), encoding="ascii", newline="\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, without the usage."""
        self.exit(2, f"{self.prog}: {message}\n")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"not a whole number from 0 on: {text!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m llmhard.grammar`; returns the exit code."""
    parser = _Parser(
        prog="python -m llmhard.grammar",
        description="Write the corpus and the questions, or show what the grammar does.",
        epilog="examples:\n"
        "  python -m llmhard.grammar --out data\n"
        "  python -m llmhard.grammar --sample 5 --seed 7\n"
        '  python -m llmhard.grammar --score "mom reads a big book"\n',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=_count, default=42, help="seed of all draws (default 42)")
    parser.add_argument("--out", type=Path, default=Path("data"), help="directory (default data)")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--sample", type=_count, metavar="N", help="print N sentences instead")
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
