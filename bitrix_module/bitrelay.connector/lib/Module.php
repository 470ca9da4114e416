<?php

// Promises: the names that the rest of the module agrees on.
// Leans on: nothing.
// Must never: hold behaviour.

declare(strict_types=1);

namespace Bitrelay\Connector;

final class Module
{
    public const ID = 'bitrelay.connector';

    public const OUTBOX_TABLE = 'b_bitrelay_outbox';
    public const STATE_TABLE = 'b_bitrelay_state';

    /** Key of an item in rest.event.call by which the relay stores it once, however often it is sent. */
    public const ITEM_ID_KEY = 'relay_item_id';
    /** Key of an item whose auth block is finished and is passed on unchanged. */
    public const AUTH_KEY = 'relay_auth';

    public const CLOCK_SKEW_ALLOWED_S = 60;
}
