"""What the sample shop sells: departments, aisles and shelves, with what is special about some of them.

One line a shelf: ``name | nouns | median price in euros``. Flags after a second bar:
``every N`` (bought again about every N days), ``rises`` or ``falls`` (with the season).
"""

from __future__ import annotations

from dataclasses import dataclass

_TREE = """
Home > Kitchen
  Mugs | Mug, Espresso Cup, Tumbler | 11
  Kettles | Kettle, Tea Kettle | 45
  Cookware | Saucepan, Frying Pan, Casserole | 49
  Knives | Chef Knife, Bread Knife, Paring Knife | 34
Home > Lighting
  Lamps | Desk Lamp, Floor Lamp, Table Lamp | 59
  Bulbs | LED Bulb, Filament Bulb | 7 | every 45
  String Lights | String Lights, Lantern | 18
Home > Textiles
  Bedding | Duvet Cover, Pillowcase, Sheet Set | 42
  Towels | Bath Towel, Hand Towel | 16
  Rugs | Rug, Runner | 89
Home > Decor
  Candles | Scented Candle, Pillar Candle | 14 | every 24
  Frames | Picture Frame, Gallery Frame | 15
  Vases | Vase, Planter | 24
Grocery > Drinks
  Tea | Green Tea, Black Tea, Herbal Tea | 6 | every 18
  Coffee | Coffee Beans, Ground Coffee, Espresso Pods | 9 | every 14
  Syrups | Vanilla Syrup, Caramel Syrup | 8
Grocery > Pantry
  Olive Oil | Olive Oil, Infused Oil | 13 | every 28
  Pasta | Spaghetti, Penne, Fusilli | 3 | every 16
  Spices | Curry Blend, Pepper Mill, Sea Salt | 5
Grocery > Snacks
  Chocolate | Chocolate Bar, Truffles | 5 | every 12
  Nuts | Almonds, Mixed Nuts | 7 | every 15
  Biscuits | Shortbread, Oat Biscuits | 4
Fashion > Women
  Dresses | Dress, Midi Dress, Wrap Dress | 59 | rises
  Knitwear | Cardigan, Jumper | 54 | falls
  Tops | Blouse, T-Shirt | 25
Fashion > Men
  Shirts | Oxford Shirt, Linen Shirt | 42
  Trousers | Chinos, Jeans | 55
  Jackets | Parka, Bomber Jacket | 99 | falls
Fashion > Shoes
  Sneakers | Sneakers, Running Shoes | 79
  Boots | Ankle Boots, Hiking Boots | 115 | falls
  Sandals | Sandals, Slides | 39 | rises
Fashion > Accessories
  Bags | Tote Bag, Backpack, Crossbody Bag | 49
  Watches | Watch, Chronograph | 129
  Sunglasses | Sunglasses, Aviators | 45 | rises
Electronics > Audio
  Headphones | Headphones, Earbuds | 89
  Speakers | Speaker, Soundbar | 99
  Microphones | Microphone, Lapel Mic | 75
Electronics > Computing
  Keyboards | Keyboard, Keypad | 69
  Mice | Mouse, Trackball | 35
  Storage | SSD, Memory Card, USB Stick | 49
Electronics > Phones
  Cases | Phone Case, Wallet Case | 19
  Chargers | Charger, Power Bank | 29
  Cables | USB-C Cable, Charging Cable | 12
Electronics > Photo
  Cameras | Camera, Action Camera | 399
  Lenses | Lens, Macro Lens | 289
  Tripods | Tripod, Gimbal | 65
Beauty > Skin
  Moisturisers | Day Cream, Night Cream | 22 | every 26
  Cleansers | Face Wash, Cleansing Oil | 14 | every 30
  Sun Care | Sun Cream, Sun Spray | 16 | rises
Beauty > Hair
  Shampoo | Shampoo, Conditioner | 9 | every 21
  Styling | Hair Wax, Hair Spray | 12
  Dryers | Hair Dryer, Straightener | 59
Beauty > Fragrance
  Perfume | Eau de Parfum, Eau de Toilette | 69
  Diffusers | Diffuser, Room Spray | 27
  Soaps | Soap Bar, Hand Wash | 6 | every 20
Sports > Fitness
  Mats | Yoga Mat, Pilates Mat | 29
  Weights | Dumbbell, Kettlebell | 39
  Nutrition | Protein Powder, Energy Bar | 24 | every 17
Sports > Outdoor
  Tents | Tent, Tarp | 169 | rises
  Sleeping Bags | Sleeping Bag, Liner | 79
  Flasks | Flask, Water Bottle | 21
Sports > Cycling
  Helmets | Helmet, Visor Helmet | 65
  Lights | Front Light, Rear Light | 27
  Locks | Bike Lock, Chain Lock | 35
Garden > Barbecue
  Grills | Charcoal Grill, Gas Grill | 189 | rises
  Charcoal | Charcoal, Briquettes | 12 | rises
  Tools | Grill Tongs, Grill Brush | 15 | rises
Garden > Plants
  Seeds | Flower Seeds, Herb Seeds | 4
  Pots | Flower Pot, Hanging Pot | 17
  Soil | Potting Soil, Fertiliser | 11
Garden > Furniture
  Chairs | Garden Chair, Deckchair | 69 | rises
  Tables | Bistro Table, Folding Table | 99
  Parasols | Parasol, Sun Sail | 79 | rises
Toys > Building
  Bricks | Brick Set, Castle Set | 35
  Trains | Train Set, Rail Set | 49
  Models | Model Car, Model Plane | 32
Toys > Games
  Board Games | Board Game, Strategy Game | 34
  Card Games | Card Game, Trivia Game | 14
  Puzzles | Puzzle, Wooden Puzzle | 19
Toys > Play
  Plush | Teddy Bear, Plush Rabbit | 18
  Dolls | Doll, Doll House | 29
  Kites | Kite, Frisbee | 16 | rises
"""

STYLES: tuple[tuple[str, tuple[str, ...]], ...] = (  # one a taste cluster: its name and its adjectives
    ("nordic", ("Nordic", "Birch", "Fjord", "Pale", "Quiet", "Woollen")),
    ("rustic", ("Rustic", "Farmhouse", "Oak", "Hearth", "Homespun", "Earthen")),
    ("modern", ("Modern", "Minimal", "Slim", "Matte", "Graphite", "Linear")),
    ("vintage", ("Vintage", "Retro", "Heritage", "Antique", "Sepia", "Classic")),
    ("playful", ("Playful", "Rainbow", "Confetti", "Happy", "Polka", "Bubble")),
    ("active", ("Active", "Trail", "Sprint", "Summit", "Endurance", "Rapid")),
    ("botanical", ("Botanical", "Meadow", "Fern", "Herbal", "Mossy", "Petal")),
    ("luxe", ("Luxe", "Velvet", "Gilded", "Royal", "Marble", "Silk")),
    ("industrial", ("Industrial", "Forged", "Steel", "Carbon", "Rivet", "Heavy-Duty")),
    ("coastal", ("Coastal", "Harbour", "Driftwood", "Salt", "Breeze", "Lagoon")),
    ("gourmet", ("Gourmet", "Artisan", "Roasted", "Smoked", "Reserve", "Orchard")),
    ("smart", ("Smart", "Pixel", "Wireless", "Neon", "Quantum", "Turbo")),
)
NEUTRAL = ("Everyday", "Basic", "Original", "Compact", "Premium", "Essential", "Large", "Small")
COLOURS = ("black", "white", "blue", "green", "red", "grey", "natural", "yellow", "pink")

BRAND_HEADS = (
    *("Al", "Bor", "Cal", "Dor", "El", "Fen", "Gal", "Hal", "Is", "Jun", "Kel", "Lum", "Mar", "Nor", "Or", "Pel"),
    *("Quin", "Ros", "Sol", "Tor", "Ul", "Ver", "Wil", "Yar", "Zen"),
)
BRAND_TAILS = ("dana", "bury", "cott", "dell", "field", "gren", "horn", "lane", "mere", "nova", "stad", "wick")

COMPLEMENTS: tuple[tuple[str, str, bool], ...] = (  # shelf, the shelf that goes with it, both ways?
    *(("Lamps", "Bulbs", False), ("Kettles", "Tea", False), ("Mugs", "Coffee", True), ("Coffee", "Syrups", False)),
    *(("Cookware", "Olive Oil", False), ("Pasta", "Spices", True), ("Knives", "Cookware", True)),
    *(("Cameras", "Lenses", False), ("Cameras", "Storage", False), ("Lenses", "Tripods", False)),
    *(("Headphones", "Cables", False), ("Cases", "Chargers", True), ("Keyboards", "Mice", True)),
    *(("Grills", "Charcoal", False), ("Grills", "Tools", False), ("Tents", "Sleeping Bags", False)),
    *(("Sleeping Bags", "Flasks", False), ("Mats", "Weights", True), ("Weights", "Nutrition", False)),
    *(("Helmets", "Lights", False), ("Helmets", "Locks", False), ("Seeds", "Soil", False), ("Pots", "Soil", False)),
    *(("Chairs", "Tables", True), ("Tables", "Parasols", False), ("Dresses", "Sandals", False)),
    *(("Shirts", "Trousers", True), ("Boots", "Jackets", False), ("Bedding", "Towels", True)),
    *(("Moisturisers", "Cleansers", True), ("Shampoo", "Styling", False), ("Board Games", "Card Games", False)),
    *(("Vases", "Candles", False), ("Bags", "Sunglasses", False), ("Bricks", "Models", False)),
)


@dataclass(frozen=True)
class Shelf:
    """A leaf of the category tree."""

    path: str
    department: str
    nouns: tuple[str, ...]
    price: float  # median, euros
    every: int  # days between repeat purchases, 0 where people do not come back for more
    season: int  # +1 rises over the last weeks, -1 falls, 0 neither

    @property
    def name(self) -> str:
        """The last level of the path; unique in the tree."""
        return self.path.rpartition(" > ")[2]


def _read(tree: str) -> tuple[Shelf, ...]:
    shelves: list[Shelf] = []
    aisle = ""
    for line in filter(None, tree.splitlines()):
        if not line.startswith(" "):
            aisle = line
            continue
        name, nouns, price, *flags = (part.strip() for part in line.split("|"))
        every = sum(int(flag.removeprefix("every")) for flag in flags if flag.startswith("every"))
        shelves.append(
            Shelf(
                path=f"{aisle} > {name}",
                department=aisle.partition(" > ")[0],
                nouns=tuple(noun.strip() for noun in nouns.split(",")),
                price=float(price),
                every=every,
                season=("rises" in flags) - ("falls" in flags),
            )
        )
    return tuple(shelves)


SHELVES = _read(_TREE)
DEPARTMENTS = tuple(dict.fromkeys(shelf.department for shelf in SHELVES))
