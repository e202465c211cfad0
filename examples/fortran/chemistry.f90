! SPDX-License-Identifier: BSD-3-Clause
!
! The kernel of the flame tube: burning of a premixed gas and thermal nitric oxide over one time step of the host,
! integrated in many small steps because the reaction is stiff.
!
! Burning is one irreversible step with the rate of Arrhenius, adiabatic at constant pressure. Nitric oxide follows the
! overall rate of the Zeldovich mechanism with oxygen atoms in equilibrium (Heywood, Internal Combustion Engine
! Fundamentals, 1988, eq. 11.9), with the oxygen and nitrogen of lean burnt gas at atmospheric pressure.
module chemistry
   use, intrinsic :: iso_c_binding, only: c_double, c_int, c_ptr, c_size_t
   implicit none
   private
   public :: burn_row, frozen_row, time_step, heat_of_burning

   real(c_double), parameter :: time_step       = 2.0e-5_c_double !! of the host [s]
   real(c_double), parameter :: heat_of_burning = 1800            !! temperature rise of all fuel [K]

   integer, parameter        :: substeps    = 200
   real(c_double), parameter :: activation  = 8000           !! temperature [K]
   real(c_double), parameter :: prefactor   = 1.0e6_c_double !! [s-1]
   real(c_double), parameter :: least       = 1.0e-9_c_double !! rate of nitric oxide in cold gas [s-1]

contains

   subroutine burn_row(x, y, status)
      real(c_double), intent(in)  :: x(:)   !! temperature [K]; fuel, mass fraction over that of fresh gas [1]
      real(c_double), intent(out) :: y(:)   !! mean rates over the step: burning [s-1]; mole fraction of NO [s-1]
      integer(c_int), intent(out) :: status
      real(c_double) :: temperature, fuel, k, burnt
      integer :: i
      temperature = x(1)
      fuel        = x(2)
      y(1:2)      = [0.0_c_double, least]
      do i = 1, substeps
         k           = prefactor * exp(-activation / temperature)
         burnt       = fuel * (1 - exp(-k * (time_step / substeps)))
         y(1)        = y(1) + k / substeps
         y(2)        = y(2) + nitric_oxide(temperature) / substeps
         fuel        = fuel - burnt
         temperature = temperature + heat_of_burning * burnt
      end do
      status = 0
   end subroutine

   !! A classical cheaper stand-in: the rates at the start of the step.
   subroutine frozen_row(x, y, status)
      real(c_double), intent(in)  :: x(:)
      real(c_double), intent(out) :: y(:)
      integer(c_int), intent(out) :: status
      y(1)   = prefactor * exp(-activation / x(1))
      y(2)   = least + nitric_oxide(x(1))
      status = 0
   end subroutine

   pure real(c_double) function nitric_oxide(temperature) result(rate)
      real(c_double), intent(in) :: temperature !! [K]
      real(c_double), parameter  :: oxygen = 0.03_c_double, nitrogen = 0.72_c_double !! mole fractions of burnt gas
      real(c_double) :: density !! [mol cm-3]
      density = 101325 / (8.314_c_double * temperature) * 1.0e-6_c_double
      rate    = 6.0e16_c_double / sqrt(temperature) * exp(-69090 / temperature) &
                * sqrt(oxygen * density) * nitrogen
   end function

   !! The kernel for n rows with the interface of C, so that Python can sample it: Kernel.from_library(...).
   function burn_rows(n, x, y, context) result(status) bind(c, name="burn")
      integer(c_size_t), value    :: n
      real(c_double), intent(in)  :: x(2, n)
      real(c_double), intent(out) :: y(2, n)
      type(c_ptr), value          :: context !! not used
      integer(c_int)              :: status
      integer(c_size_t) :: i
      associate (unused => context)
      end associate
      status = 0
      do i = 1, n
         call burn_row(x(:, i), y(:, i), status)
      end do
   end function
end module chemistry
