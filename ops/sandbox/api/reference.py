"""Lists that hang on no customer, with the little data that a form or a first look needs (sections 3.14, 3.17).

Everything here is ours: few currencies, no fee profile, the subdivisions of two countries under their ISO 3166-2 codes.
"""

from ops.sandbox.api.answers import Answer, RefusalError, answer_json
from ops.sandbox.api.calls import ALPHA_3, Call, required
from ops.sandbox.api.fields import COUNTRIES
from ops.sandbox.world.provider import Provider

#: Code, name, and some of the countries where it is used.
FIAT = (
    ("EUR", "Euro", ("AT", "DE", "ES", "FR", "IE", "IT", "NL", "PT")),
    ("GBP", "Pound Sterling", ("GB",)),
    ("USD", "US Dollar", ("US",)),
)
#: The token that every customer may hold, and its blockchains.
TOKEN, TOKEN_NAME, CHAINS = "USDC", "USD Coin", ("Solana", "Ethereum", "Polygon", "Base")

_US = (
    "AL Alabama, AK Alaska, AZ Arizona, AR Arkansas, CA California, CO Colorado, CT Connecticut, DE Delaware, "
    "DC District of Columbia, FL Florida, GA Georgia, HI Hawaii, ID Idaho, IL Illinois, IN Indiana, IA Iowa, "
    "KS Kansas, KY Kentucky, LA Louisiana, ME Maine, MD Maryland, MA Massachusetts, MI Michigan, MN Minnesota, "
    "MS Mississippi, MO Missouri, MT Montana, NE Nebraska, NV Nevada, NH New Hampshire, NJ New Jersey, NM New Mexico, "
    "NY New York, NC North Carolina, ND North Dakota, OH Ohio, OK Oklahoma, OR Oregon, PA Pennsylvania, "
    "RI Rhode Island, SC South Carolina, SD South Dakota, TN Tennessee, TX Texas, UT Utah, VT Vermont, VA Virginia, "
    "WA Washington, WV West Virginia, WI Wisconsin, WY Wyoming"
)
_CA = (
    "AB Alberta, BC British Columbia, MB Manitoba, NB New Brunswick, NL Newfoundland and Labrador, "
    "NT Northwest Territories, NS Nova Scotia, NU Nunavut, ON Ontario, PE Prince Edward Island, QC Quebec, "
    "SK Saskatchewan, YT Yukon"
)
SUBDIVISIONS = {"US": tuple(_US.split(", ")), "CA": tuple(_CA.split(", "))}


def fiat(code: str) -> dict[str, str]:
    """Write a currency of states as other objects refer to it."""
    return {"type": "Fiat", "code": code}


def crypto(chain: str) -> dict[str, str]:
    """Write the token on a chain as other objects refer to it."""
    return {"type": "Crypto", "token": TOKEN, "blockchain": chain}


def get_terms(provider: Provider, call: Call) -> Answer:
    """Read the terms of a country before any customer exists."""
    country = required(call, "country").upper()
    if country not in COUNTRIES and not (len(country) == ALPHA_3 and country.isascii() and country.isalpha()):
        raise call.unreadable("failed to parse parameter `country`: unknown country")
    return answer_json(200, [provider.rendering.document(one) for one in provider.lifecycle.terms])


def get_country_subdivisions(provider: Provider, call: Call) -> Answer:
    """List the states or provinces of a country; of most the sandbox knows none."""
    country = call.parts[1].upper()
    if country not in COUNTRIES:
        raise RefusalError(provider.switches.bad_request, "failed to parse path `country_code`: unknown country")
    known = [one.partition(" ") for one in SUBDIVISIONS.get(country, ())]
    return answer_json(200, [{"code": f"{country}-{code}", "name": name} for code, _, name in known])


def list_fiat_currencies(provider: Provider, _call: Call) -> Answer:
    """List the currencies of states."""
    return answer_json(
        200,
        [
            provider.rendering.joined(
                {"code": code, "name": name, "countries": [{"code": country} for country in countries]}, {}
            )
            for code, name, countries in FIAT
        ],
    )


def list_crypto_currencies(provider: Provider, _call: Call) -> Answer:
    """List the tokens."""
    return answer_json(
        200,
        [
            provider.rendering.joined(
                {"code": TOKEN, "chain": chain, "mint_only": False}, {"name": TOKEN_NAME, "address": None}
            )
            for chain in CHAINS
        ],
    )


def list_fee_profiles(provider: Provider, call: Call) -> Answer:
    """List what the partner is charged: nothing, in this sandbox."""
    call.page_size()
    return answer_json(200, provider.rendering.page([], None, None))


def list_microdeposits(provider: Provider, call: Call) -> Answer:
    """List the small payments that prove a bank account: there are no bank accounts here."""
    provider.customer(call)
    return answer_json(200, [])
